//! Batches as the answer's bytes.

use std::io::Write;

use bytes::Bytes;
use datafusion::{
    arrow::{
        array::RecordBatch,
        datatypes::SchemaRef,
        ipc::writer::StreamWriter,
        json::{
            WriterBuilder,
            writer::{JsonArray, LineDelimited},
        },
        util::display::{ArrayFormatter, FormatOptions},
    },
    error::{DataFusionError, Result},
};
use runtime::sql::Format;

type Json = datafusion::arrow::json::Writer<Vec<u8>, JsonArray>;

/// Writes an answer.
pub enum Writer {
    /// `{"data": [{column: value}]}`.
    Json(Box<Json>),
    /// A line of names and one of values a row.
    Csv(Vec<u8>),
    /// An Arrow IPC stream.
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Writer {
    /// For answers of this schema.
    pub fn new(format: Format, schema: &SchemaRef) -> Result<Writer> {
        Ok(match format {
            Format::Json => {
                let builder = WriterBuilder::new().with_explicit_nulls(true);
                Writer::Json(Box::new(builder.build(b"{\"data\":".to_vec())))
            }
            Format::Csv => {
                let mut line = Vec::new();
                let names = schema.fields().iter().map(|field| field.name().clone());
                write_line(&mut line, names)?;
                Writer::Csv(line)
            }
            Format::Arrow => Writer::Arrow(Box::new(StreamWriter::try_new(Vec::new(), schema)?)),
        })
    }

    /// How much is written so far.
    pub fn bytes(&self) -> usize {
        match self {
            Writer::Json(writer) => writer.get_ref().len(),
            Writer::Csv(lines) => lines.len(),
            Writer::Arrow(writer) => writer.get_ref().len(),
        }
    }

    /// Adds rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Writer::Json(writer) => writer.write(batch)?,
            Writer::Csv(lines) => write_csv(lines, batch)?,
            Writer::Arrow(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    /// All of it.
    pub fn finish(self) -> Result<Bytes> {
        match self {
            Writer::Json(mut writer) => {
                writer.finish()?;
                let mut json = writer.into_inner();
                // Nothing at all is written of no rows.
                if json.len() == b"{\"data\":".len() {
                    json.extend_from_slice(b"[]");
                }
                json.push(b'}');
                Ok(json.into())
            }
            Writer::Csv(lines) => Ok(lines.into()),
            Writer::Arrow(mut writer) => {
                writer.finish()?;
                Ok(writer.into_inner()?.into())
            }
        }
    }
}

/// Rows as JSON, a text each.
pub fn lines(batch: &RecordBatch) -> Result<Vec<String>> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    let text = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    Ok(text.lines().map(str::to_owned).collect())
}

fn write_csv(lines: &mut Vec<u8>, batch: &RecordBatch) -> Result<()> {
    let options = FormatOptions::default();
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<std::result::Result<_, _>>()?;
    for row in 0..batch.num_rows() {
        let values = columns.iter().map(|column| column.value(row).try_to_string());
        let values: Vec<String> = values.collect::<std::result::Result<_, _>>()?;
        write_line(lines, values.into_iter())?;
    }
    Ok(())
}

fn write_line(lines: &mut Vec<u8>, values: impl Iterator<Item = String>) -> Result<()> {
    for (number, value) in values.enumerate() {
        if number > 0 {
            lines.push(b',');
        }
        if value.contains(['"', ',', '\n', '\r']) {
            write!(lines, "\"{}\"", value.replace('"', "\"\"")).map_err(DataFusionError::IoError)?;
        } else {
            lines.extend_from_slice(value.as_bytes());
        }
    }
    lines.push(b'\n');
    Ok(())
}
