//! Reads `model.safetensors`: the length of a header, the header as JSON (each
//! tensor's type, shape and place), then the numbers.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    sync::Mutex,
};

use serde::Deserialize;

use runtime::supervisor::Failure;

/// No header of this model is larger.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// The file, and where in it each tensor is.
pub struct Weights {
    file: Mutex<File>,
    begin: u64,
    tensors: HashMap<String, Tensor>,
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    data_offsets: (u64, u64),
}

impl Weights {
    /// Reads the header.
    pub fn open(path: &Path) -> Result<Weights, Failure> {
        let mut file = File::open(path)?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > HEADER_BYTES_MAX {
            return Err(format!("{} is no file of safetensors", path.display()).into());
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header)?;
        let header: HashMap<String, serde_json::Value> = serde_json::from_slice(&header)?;
        let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
        let tensors = tensors
            .map(|(name, tensor)| -> Result<(String, Tensor), Failure> { Ok((name, serde_json::from_value(tensor)?)) });
        Ok(Weights { file: Mutex::new(file), begin: 8 + length, tensors: tensors.collect::<Result<_, Failure>>()? })
    }

    /// A tensor of so many numbers.
    pub fn numbers(&self, name: &str, count: usize) -> Result<Vec<f32>, Failure> {
        let bytes = self.bytes(name, count)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// The same, each rounded to the upper half of its bits.
    pub fn halves(&self, name: &str, count: usize) -> Result<Vec<u16>, Failure> {
        let bytes = self.bytes(name, count)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| half(f32::from_le_bytes(*bytes))).collect())
    }

    fn bytes(&self, name: &str, count: usize) -> Result<Vec<u8>, Failure> {
        let tensor = self.tensors.get(name).ok_or_else(|| format!("the model has no {name}"))?;
        let (from, to) = tensor.data_offsets;
        if tensor.dtype != "F32" || to.checked_sub(from) != Some(4 * count as u64) {
            return Err(format!("{name} is not {count} numbers of 32 bits").into());
        }
        let mut file = self.file.lock().map_err(|_| "the model's file cannot be read")?;
        file.seek(SeekFrom::Start(self.begin + from))?;
        let mut bytes = vec![0; 4 * count];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn half(number: f32) -> u16 {
    (number.to_bits().saturating_add(0x8000) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn tensors_are_found_by_name_and_size() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let header = br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
        file.write_all(header).unwrap();
        file.write_all(&1.5_f32.to_le_bytes()).unwrap();
        file.write_all(&(-2.0_f32).to_le_bytes()).unwrap();
        let weights = Weights::open(file.path()).unwrap();
        assert_eq!(weights.numbers("a", 2).unwrap(), [1.5, -2.0]);
        assert_eq!(weights.halves("a", 2).unwrap(), [0x3FC0, 0xC000]);
        assert!(weights.numbers("a", 3).is_err() && weights.numbers("b", 2).is_err());
    }
}
