//! Windows of event time, as the streams' own dialect has them: `[start, end)`,
//! aligned to the epoch. `tumble(width, at)` is the start of the window that a
//! time is in; `hop(slide, width, at)` the starts of all of them, to be unnested.

use std::sync::Arc;

use datafusion::{
    arrow::array::AsArray,
    arrow::{
        array::{Array, ListBuilder, TimestampMillisecondArray, TimestampMillisecondBuilder},
        datatypes::{DataType, Field, IntervalUnit, TimestampMillisecondType},
    },
    common::{ScalarValue, plan_err},
    error::Result,
    logical_expr::{ColumnarValue, Expr, ScalarUDF, Volatility, create_udf},
};

use crate::{columns::time_type, follow::closing::Shape};

/// Windows that one row may be in: what makes many rows of one.
const WINDOWS_MAX: i64 = 1_440;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// `tumble(width, at)`.
pub fn tumble() -> ScalarUDF {
    let run = |arguments: &[ColumnarValue]| {
        let width_ms = interval_ms(&arguments[0])?;
        on_times(&arguments[1], |times| {
            let starts = times.iter().map(|at| at.map(|at| at - at.rem_euclid(width_ms)));
            Arc::new(starts.collect::<TimestampMillisecondArray>().with_timezone("+00:00"))
        })
    };
    create_udf("tumble", vec![INTERVAL, time_type()], time_type(), Volatility::Immutable, Arc::new(run))
}

/// `hop(slide, width, at)`.
pub fn hop() -> ScalarUDF {
    hop_within(None)
}

/// `hop(slide, width, at)` where one window is told: of all that a time is in,
/// the only one is that.
pub fn hop_within(only: Option<i64>) -> ScalarUDF {
    let run = move |arguments: &[ColumnarValue]| {
        let (slide_ms, width_ms) = (interval_ms(&arguments[0])?, interval_ms(&arguments[1])?);
        bounded(Shape { slide_ms, width_ms })?;
        on_times(&arguments[2], |times| {
            let starts = TimestampMillisecondBuilder::new().with_data_type(time_type());
            let mut built = ListBuilder::new(starts).with_field(member());
            for at in times {
                let starts = at.into_iter().flat_map(|at| starts_of(at, slide_ms, width_ms));
                for start in starts.filter(|start| only.is_none_or(|only| *start == only)) {
                    built.values().append_value(start);
                }
                built.append(at.is_some());
            }
            Arc::new(built.finish())
        })
    };
    let starts = DataType::List(member());
    create_udf("hop", vec![INTERVAL, INTERVAL, time_type()], starts, Volatility::Immutable, Arc::new(run))
}

/// The windows that an expression is about, and the time that is held against
/// them.
pub fn shape_of(expression: &Expr) -> Result<Option<(Shape, &Expr)>> {
    let Expr::ScalarFunction(call) = expression else { return Ok(None) };
    let (slide, width, time) = match (call.name(), call.args.as_slice()) {
        ("tumble", [width, time]) => (width, width, time),
        ("hop", [slide, width, time]) => (slide, width, time),
        _ => return Ok(None),
    };
    let length_ms = |length: &Expr| match length {
        Expr::Literal(value, _) => interval_ms(&ColumnarValue::Scalar(value.clone())),
        _ => plan_err!("the length of a window must be one interval"),
    };
    let shape = Shape { slide_ms: length_ms(slide)?, width_ms: length_ms(width)? };
    bounded(shape)?;
    Ok(Some((shape, time)))
}

fn bounded(Shape { slide_ms, width_ms }: Shape) -> Result<()> {
    if width_ms / slide_ms > WINDOWS_MAX {
        return plan_err!("a time may be in {WINDOWS_MAX} windows, not in {}", width_ms / slide_ms);
    }
    Ok(())
}

fn member() -> Arc<Field> {
    Arc::new(Field::new_list_field(time_type(), true))
}

/// The starts of the windows that a time is in, earliest first.
fn starts_of(at: i64, slide_ms: i64, width_ms: i64) -> impl Iterator<Item = i64> {
    let last = at - at.rem_euclid(slide_ms);
    let first = last - (width_ms - 1 - at.rem_euclid(slide_ms)).div_euclid(slide_ms) * slide_ms;
    (0..).map(move |number| first + number * slide_ms).take_while(move |start| *start <= last)
}

fn interval_ms(value: &ColumnarValue) -> Result<i64> {
    let ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(interval))) = value else {
        return plan_err!("the length of a window must be one interval");
    };
    let ms = i64::from(interval.days) * 86_400_000 + interval.nanoseconds / 1_000_000;
    if interval.months != 0 || ms <= 0 {
        return plan_err!("the length of a window must be days or less, and more than nothing");
    }
    Ok(ms)
}

fn on_times(
    value: &ColumnarValue,
    make: impl FnOnce(&TimestampMillisecondArray) -> Arc<dyn Array>,
) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(std::slice::from_ref(value))?;
    Ok(ColumnarValue::Array(make(arrays[0].as_primitive::<TimestampMillisecondType>())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_windows_that_hold_it() {
        let starts = |at, slide, width| starts_of(at, slide, width).collect::<Vec<_>>();
        assert_eq!(starts(25, 10, 30), [0, 10, 20]);
        assert_eq!(starts(30, 10, 30), [10, 20, 30], "its end is not a part of a window");
        assert_eq!(starts(25, 10, 10), [20]);
        assert_eq!(starts(-5, 10, 20), [-20, -10]);
        assert_eq!(starts(25, 10, 25), [10, 20]);
        for at in -50..50 {
            for (slide, width) in [(1, 7), (3, 10), (5, 5), (10, 3)] {
                let expected: Vec<i64> =
                    (-200..200).filter(|start| start % slide == 0 && *start <= at && at < start + width).collect();
                assert_eq!(starts(at, slide, width), expected, "{at} {slide} {width}");
            }
        }
    }
}
