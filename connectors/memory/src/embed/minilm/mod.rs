//! Vectors from all-MiniLM-L6-v2, in this process: six layers of attention over
//! 384 dimensions, from weights that were downloaded (`nexus model get minilm`).
//!
//! In: texts; of each the first 256 tokens count. Out: vectors of length one.
//! The work is done on threads of its own, at most so many at a time as the
//! settings say, and never on one that serves requests. In memory: about 70 MB,
//! the embeddings of words in 16 bits each (what they lose shows in the fifth
//! decimal of a likeness).

mod fetch;
mod product;
mod tokens;
mod weights;

use std::{path::Path, sync::Arc};

use tokio::{sync::Semaphore, task::JoinSet};
use udfs::recall::ngrams::normalise;

use self::{
    product::{Matrix, layer},
    tokens::Vocabulary,
    weights::Weights,
};
use super::{Embedder, Embedding, ModelError};
use crate::vectors::Model;
use runtime::supervisor::Failure;

pub use fetch::{Fetched, fetch, is_there};

/// Its folder among the models.
pub const NAME: &str = "minilm";

const WIDTH: usize = 384;
const HEADS: usize = 12;
const LAYERS: usize = 6;
const TOKENS_MAX: usize = 256;
const EPSILON: f32 = 1e-12;

/// See the module.
pub struct MiniLm {
    model: Model,
    network: Arc<Network>,
    places: Arc<Semaphore>,
}

impl MiniLm {
    /// From the folder that holds `model.safetensors` and `vocab.txt`.
    pub fn open(folder: &Path, threads_max: usize) -> Result<MiniLm, Failure> {
        if !is_there(folder) {
            let place = folder.display();
            return Err(format!("MiniLM is not in {place}: run `nexus model get minilm`").into());
        }
        let network = Arc::new(Network::open(folder)?);
        let model = Model { name: "minilm-l6-v2".to_owned(), dimensions: WIDTH };
        Ok(MiniLm { model, network, places: Arc::new(Semaphore::new(threads_max.max(1))) })
    }
}

impl Embedder for MiniLm {
    fn model(&self) -> &Model {
        &self.model
    }

    fn share(&self) -> f32 {
        0.8
    }

    fn text_bytes_max(&self) -> usize {
        1_000
    }

    fn embed(&self, texts: Vec<String>) -> Embedding<'_> {
        Box::pin(async move {
            let mut vectors = vec![Vec::new(); texts.len()];
            let mut working = JoinSet::new();
            for (number, text) in texts.into_iter().enumerate() {
                // The semaphore is never closed.
                let place = Arc::clone(&self.places).acquire_owned().await;
                let network = Arc::clone(&self.network);
                working.spawn_blocking(move || {
                    let vector = network.vector(&text);
                    drop(place);
                    (number, vector)
                });
            }
            while let Some(done) = working.join_next().await {
                let (number, vector) = done.map_err(|error| ModelError::Refused(error.to_string()))?;
                vectors[number] = vector;
            }
            Ok(vectors)
        })
    }
}

struct Norm {
    gain: Vec<f32>,
    bias: Vec<f32>,
}

struct Dense {
    weight: Matrix,
    bias: Vec<f32>,
}

struct Layer {
    query: Dense,
    key: Dense,
    value: Dense,
    attended: Dense,
    attended_norm: Norm,
    inner: Dense,
    outer: Dense,
    norm: Norm,
}

/// The model: what it knows, and how a text goes through it.
pub(crate) struct Network {
    vocabulary: Vocabulary,
    /// The upper half of each number.
    words: Vec<u16>,
    positions: Matrix,
    kind: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

impl Network {
    /// From its files.
    pub(crate) fn open(folder: &Path) -> Result<Network, Failure> {
        let vocabulary = Vocabulary::read(&std::fs::read_to_string(folder.join("vocab.txt"))?)?;
        let weights = Weights::open(&folder.join("model.safetensors"))?;
        let norm = |name: &str| -> Result<Norm, Failure> {
            Ok(Norm {
                gain: weights.numbers(&format!("{name}.LayerNorm.weight"), WIDTH)?,
                bias: weights.numbers(&format!("{name}.LayerNorm.bias"), WIDTH)?,
            })
        };
        let dense = |name: &str, out: usize, from: usize| -> Result<Dense, Failure> {
            Ok(Dense {
                weight: Matrix::new(out, from, weights.numbers(&format!("{name}.weight"), out * from)?),
                bias: weights.numbers(&format!("{name}.bias"), out)?,
            })
        };
        let layers = (0..LAYERS).map(|number| -> Result<Layer, Failure> {
            let of = |part: &str| format!("encoder.layer.{number}.{part}");
            Ok(Layer {
                query: dense(&of("attention.self.query"), WIDTH, WIDTH)?,
                key: dense(&of("attention.self.key"), WIDTH, WIDTH)?,
                value: dense(&of("attention.self.value"), WIDTH, WIDTH)?,
                attended: dense(&of("attention.output.dense"), WIDTH, WIDTH)?,
                attended_norm: norm(&of("attention.output"))?,
                inner: dense(&of("intermediate.dense"), 4 * WIDTH, WIDTH)?,
                outer: dense(&of("output.dense"), WIDTH, 4 * WIDTH)?,
                norm: norm(&of("output"))?,
            })
        });
        let words = weights.halves("embeddings.word_embeddings.weight", vocabulary.len() * WIDTH)?;
        let kinds = weights.numbers("embeddings.token_type_embeddings.weight", 2 * WIDTH)?;
        let positions = weights.numbers("embeddings.position_embeddings.weight", 512 * WIDTH)?;
        Ok(Network {
            words,
            positions: Matrix::new(512, WIDTH, positions),
            kind: kinds[..WIDTH].to_vec(),
            norm: norm("embeddings")?,
            layers: layers.collect::<Result<_, Failure>>()?,
            vocabulary,
        })
    }

    /// The vector of a text.
    pub(crate) fn vector(&self, text: &str) -> Vec<f32> {
        let tokens = self.vocabulary.tokens(text, TOKENS_MAX);
        let mut rows = Vec::with_capacity(tokens.len() * WIDTH);
        for (place, token) in tokens.iter().enumerate() {
            let word = &self.words[*token * WIDTH..][..WIDTH];
            let known = word.iter().zip(self.positions.row(place)).zip(&self.kind);
            rows.extend(known.map(|((word, place), kind)| f32::from_bits(u32::from(*word) << 16) + place + kind));
        }
        let mut state = Matrix::new(tokens.len(), WIDTH, rows);
        self.norm.apply(&mut state);
        for layer in &self.layers {
            layer.apply(&mut state);
        }
        let mut mean = vec![0.0_f32; WIDTH];
        for row in 0..state.rows() {
            mean.iter_mut().zip(state.row(row)).for_each(|(mean, value)| *mean += value);
        }
        normalise(&mut mean);
        mean
    }
}

impl Norm {
    fn apply(&self, state: &mut Matrix) {
        for row in state.rows_mut() {
            let mean = row.iter().sum::<f32>() / row.len() as f32;
            let spread = row.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / row.len() as f32;
            let scale = 1.0 / (spread + EPSILON).sqrt();
            for ((value, gain), bias) in row.iter_mut().zip(&self.gain).zip(&self.bias) {
                *value = (*value - mean) * scale * gain + bias;
            }
        }
    }
}

impl Dense {
    fn of(&self, state: &Matrix) -> Matrix {
        layer(state, &self.weight, &self.bias)
    }
}

impl Layer {
    fn apply(&self, state: &mut Matrix) {
        let (query, key, value) = (self.query.of(state), self.key.of(state), self.value.of(state));
        let attended = self.attended.of(&product::attention(&query, &key, &value, HEADS));
        state.add(&attended);
        self.attended_norm.apply(state);
        let mut inner = self.inner.of(state);
        inner.values_mut().iter_mut().for_each(|value| *value = gelu(*value));
        state.add(&self.outer.of(&inner));
        self.norm.apply(state);
    }
}

/// x times the chance that a normal number is below x.
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function, to seven digits (Abramowitz and Stegun, 7.1.26).
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let series = t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    (1.0 - series * (-x * x).exp()).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_is_what_it_is_known_to_be() {
        for (x, wanted) in [(0.0, 0.0), (1.0, 0.841_345), (-1.0, -0.158_655), (3.0, 2.995_95), (-3.0, -0.004_05)] {
            assert!((gelu(x) - wanted).abs() < 1e-4, "{x}: {}", gelu(x));
        }
    }

    #[test]
    fn a_norm_has_mean_nothing_and_spread_one() {
        let mut state = Matrix::new(1, 4, vec![1.0, 2.0, 3.0, 6.0]);
        Norm { gain: vec![1.0; 4], bias: vec![0.0; 4] }.apply(&mut state);
        let (sum, squares) = (state.row(0).iter().sum::<f32>(), state.row(0).iter().map(|x| x * x).sum::<f32>());
        assert!(sum.abs() < 1e-5 && (squares - 4.0).abs() < 1e-3, "{sum} {squares}");
    }
}
