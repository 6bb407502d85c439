//! What a query's filters say about which records need to be read at all.

use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator},
};

use crate::{
    columns::{KEY_KIND, LOG_AT, LOG_OFFSET},
    lake::File,
};

/// The records that a query may want.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Of a compacted topic: those of this kind.
    pub kind: Option<String>,
    /// From this offset on.
    pub first: u64,
    /// Up to this one.
    pub last: Option<u64>,
    /// Made at this time or later.
    pub from_ms: u64,
    /// Made at this time or earlier.
    pub to_ms: Option<u64>,
    /// Made after this time, strictly: what is older was another tenant's of
    /// this name.
    pub after_ms: Option<u64>,
}

impl Asked {
    /// Whether a file may hold any of them.
    pub fn may_be_in(&self, file: &File) -> bool {
        file.last_offset >= self.first
            && self.last.is_none_or(|last| file.first_offset <= last)
            && file.last_at_ms >= self.from_ms
            && self.to_ms.is_none_or(|to_ms| file.first_at_ms <= to_ms)
    }

    /// Takes a filter into account; whether it says anything here.
    pub fn narrow(&mut self, filter: &Expr) -> bool {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return false };
        if *op == Operator::And {
            // Both sides, whatever the first one says.
            return self.narrow(left) | self.narrow(right);
        }
        let (column, op, value) = match (&**left, &**right) {
            (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
            (Expr::Literal(value, _), Expr::Column(column)) => match op.swap() {
                Some(op) => (column, op, value),
                None => return false,
            },
            _ => return false,
        };
        match (column.name.as_str(), op, value) {
            (KEY_KIND, Operator::Eq, ScalarValue::Utf8(Some(kind)) | ScalarValue::Utf8View(Some(kind))) => {
                self.kind = Some(kind.clone());
                true
            }
            (LOG_OFFSET, op, ScalarValue::Int64(Some(offset))) => self.narrow_offset(op, *offset),
            (LOG_AT, op, value) => match as_ms(value).and_then(|ms| u64::try_from(ms).ok()) {
                Some(ms) => self.narrow_time(op, ms),
                None => false,
            },
            _ => false,
        }
    }

    /// To the millisecond, and inclusive: a file too many is read, never one
    /// too few.
    fn narrow_time(&mut self, op: Operator, ms: u64) -> bool {
        let up_to = |other: Option<u64>| Some(other.map_or(ms + 1, |other| other.min(ms + 1)));
        match op {
            Operator::Gt | Operator::GtEq => self.from_ms = self.from_ms.max(ms),
            Operator::Lt | Operator::LtEq => self.to_ms = up_to(self.to_ms),
            Operator::Eq => {
                self.from_ms = self.from_ms.max(ms);
                self.to_ms = up_to(self.to_ms);
            }
            _ => return false,
        }
        true
    }

    fn narrow_offset(&mut self, op: Operator, offset: i64) -> bool {
        // Nothing is before the first offset; a bound there says nothing.
        let Ok(offset) = u64::try_from(offset) else { return false };
        let up_to = |last: Option<u64>, other: u64| Some(last.map_or(other, |last| last.min(other)));
        match op {
            Operator::Gt => self.first = self.first.max(offset.saturating_add(1)),
            Operator::GtEq => self.first = self.first.max(offset),
            Operator::Lt | Operator::LtEq => self.last = up_to(self.last, offset),
            Operator::Eq => {
                self.first = self.first.max(offset);
                self.last = up_to(self.last, offset);
            }
            _ => return false,
        }
        true
    }
}

fn as_ms(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampSecond(Some(at), _) => at.checked_mul(1_000),
        ScalarValue::TimestampMillisecond(Some(at), _) => Some(*at),
        ScalarValue::TimestampMicrosecond(Some(at), _) => Some(at.div_euclid(1_000)),
        ScalarValue::TimestampNanosecond(Some(at), _) => Some(at.div_euclid(1_000_000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn asked(filter: Expr) -> (bool, Asked) {
        let mut asked = Asked::default();
        (asked.narrow(&filter), asked)
    }

    #[test]
    fn offsets_and_kinds_narrow_what_is_read() {
        let between = col(LOG_OFFSET).gt(lit(5i64)).and(lit(9i64).gt_eq(col(LOG_OFFSET)));
        assert_eq!(asked(between), (true, Asked { first: 6, last: Some(9), ..Asked::default() }));
        let (said, of_kind) = asked(col(KEY_KIND).eq(lit("task")));
        assert_eq!((said, of_kind.kind.as_deref()), (true, Some("task")));
        for other in [
            col(LOG_OFFSET).gt(lit(5i64)).or(col(KEY_KIND).eq(lit("task"))),
            col(KEY_KIND).not_eq(lit("task")),
            col(LOG_OFFSET).gt(lit(-1i64)),
            col("provider").eq(lit("slack")),
        ] {
            assert_eq!(asked(other.clone()), (false, Asked::default()), "{other}");
        }
    }
}
