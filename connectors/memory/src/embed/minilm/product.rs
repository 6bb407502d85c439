//! Matrices, and their products through `matrixmultiply`, which is told where
//! they lie by address: the one place of the model where that is done. Sizes
//! are checked before every call.
#![allow(unsafe_code)]

/// Rows of numbers, one behind the other.
pub struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// Of values that are as many as it has places.
    pub fn new(rows: usize, columns: usize, values: Vec<f32>) -> Matrix {
        assert_eq!(values.len(), rows * columns, "a matrix is full");
        Matrix { rows, columns, values }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// One of them.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..][..self.columns]
    }

    /// All of them.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.values.chunks_exact_mut(self.columns)
    }

    /// All values.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Adds another of the same size.
    pub fn add(&mut self, other: &Matrix) {
        assert_eq!((self.rows, self.columns), (other.rows, other.columns), "matrices of one size");
        self.values.iter_mut().zip(&other.values).for_each(|(value, other)| *value += other);
    }
}

/// A part of a matrix: some columns of all rows.
#[derive(Clone, Copy)]
struct Part<'a> {
    of: &'a Matrix,
    from: usize,
    columns: usize,
}

/// `state` times `weight` turned round, plus `bias` in each row.
pub fn layer(state: &Matrix, weight: &Matrix, bias: &[f32]) -> Matrix {
    let mut out = Matrix::new(state.rows, weight.rows, bias.repeat(state.rows));
    let whole = |of| Part { of, from: 0, columns: state.columns };
    turned(whole(state), whole(weight), &mut out, 0, 1.0, 1.0);
    out
}

/// What each row attends to: by heads, each over its own columns.
pub fn attention(query: &Matrix, key: &Matrix, value: &Matrix, heads: usize) -> Matrix {
    let (rows, width) = (query.rows, query.columns / heads);
    let mut out = Matrix::new(rows, query.columns, vec![0.0; rows * query.columns]);
    let scale = 1.0 / (width as f32).sqrt();
    for head in 0..heads {
        let part = |of| Part { of, from: head * width, columns: width };
        let mut scores = Matrix::new(rows, rows, vec![0.0; rows * rows]);
        turned(part(query), part(key), &mut scores, 0, scale, 0.0);
        scores.rows_mut().for_each(softmax);
        plain(&scores, part(value), &mut out, head * width);
    }
    out
}

fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|value| *value = (*value - largest).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|value| *value /= sum);
}

/// `one` times `other` turned round, into `out` from a column on.
fn turned(one: Part<'_>, other: Part<'_>, out: &mut Matrix, at: usize, scale: f32, keep: f32) {
    assert!(one.columns == other.columns && one.columns > 0, "rows of one length");
    assert!(one.from + one.columns <= one.of.columns && other.from + other.columns <= other.of.columns);
    assert!(out.rows == one.of.rows && at + other.of.rows <= out.columns && out.rows > 0);
    let step = out.columns as isize;
    // SAFETY: each row of `one` and `other` has its columns behind the pointer
    // (asserted above), and `out` has as many rows as `one` and room for as many
    // columns as `other` has rows. Strides are the matrices' own widths.
    unsafe {
        matrixmultiply::sgemm(
            one.of.rows,
            one.columns,
            other.of.rows,
            scale,
            one.of.values.as_ptr().add(one.from),
            one.of.columns as isize,
            1,
            other.of.values.as_ptr().add(other.from),
            1,
            other.of.columns as isize,
            keep,
            out.values.as_mut_ptr().add(at),
            step,
            1,
        );
    }
}

/// `one` times `other`, into `out` from a column on.
fn plain(one: &Matrix, other: Part<'_>, out: &mut Matrix, at: usize) {
    assert!(one.columns == other.of.rows && other.from + other.columns <= other.of.columns);
    assert!(out.rows == one.rows && at + other.columns <= out.columns && out.rows > 0);
    let step = out.columns as isize;
    // SAFETY: as above; `other` is read row by row this time.
    unsafe {
        matrixmultiply::sgemm(
            one.rows,
            one.columns,
            other.columns,
            1.0,
            one.values.as_ptr(),
            one.columns as isize,
            1,
            other.of.values.as_ptr().add(other.from),
            other.of.columns as isize,
            1,
            0.0,
            out.values.as_mut_ptr().add(at),
            step,
            1,
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn products_are_what_the_definition_says(rows in 1..6usize, from in 1..20usize, out in 1..9usize, seed in 0..1_000u32) {
            let number = |at: usize| ((at as u32 * 2_654_435 + seed * 97) % 1_000) as f32 / 500.0 - 1.0;
            let state = Matrix::new(rows, from, (0..rows * from).map(number).collect());
            let weight = Matrix::new(out, from, (0..out * from).map(|at| number(at + 7)).collect());
            let bias: Vec<f32> = (0..out).map(|at| number(at + 3)).collect();
            let made = layer(&state, &weight, &bias);
            for row in 0..rows {
                for (column, bias) in bias.iter().enumerate() {
                    let sum: f32 = (0..from).map(|at| state.row(row)[at] * weight.row(column)[at]).sum::<f32>() + bias;
                    prop_assert!((made.row(row)[column] - sum).abs() < 1e-3);
                }
            }
        }

        #[test]
        fn attention_mixes_values_by_shares(rows in 1..7usize, heads in 1..4usize, seed in 0..1_000u32) {
            let columns = heads * 4;
            let number = |at: usize| ((at as u32 * 2_654_435 + seed * 97) % 1_000) as f32 / 500.0 - 1.0;
            let of = |shift: usize| Matrix::new(rows, columns, (0..rows * columns).map(|at| number(at + shift)).collect());
            let (query, key, value) = (of(0), of(11), of(29));
            let made = attention(&query, &key, &value, heads);
            for row in 0..rows {
                for column in 0..columns {
                    let head = column / 4 * 4;
                    let score = |other: usize| (0..4).map(|at| query.row(row)[head + at] * key.row(other)[head + at]).sum::<f32>() / 2.0;
                    let sum: f32 = (0..rows).map(|other| score(other).exp()).sum();
                    let mixed: f32 = (0..rows).map(|other| score(other).exp() / sum * value.row(other)[column]).sum();
                    prop_assert!((made.row(row)[column] - mixed).abs() < 1e-3);
                }
            }
        }
    }
}
