//! The embedded journal beside the bare file system: durable appends a second
//! with many in flight, the time of one at a low rate, reading, and memory.
//!
//! Everything is compared within one run, because the machine decides more
//! than the code. Prints medians; asserts nothing.

use std::{
    error::Error,
    fs::{File, OpenOptions},
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use log::embedded::{Journal, Settings};
use pipeline::{
    ports::{Headers, Log, NewRecord, Start, Visibility},
    topics::Topic,
};
use tokio::sync::Semaphore;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ROUNDS: usize = 5;
const IN_FLIGHT: usize = 1000;
const APPENDS: usize = 300_000;
const BATCH: usize = 100;
/// Records of the reading and memory part; `NEXUS_BENCH_RECORDS` overrides.
const RECORDS: usize = 10_000_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let root =
        std::env::var_os("NEXUS_BENCH_DIR").map_or_else(|| std::env::temp_dir().join("nexus-bench-log"), Into::into);
    std::fs::create_dir_all(&root)?;
    let (mut journal, mut file) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let directory = root.join(format!("round-{round}"));
        journal.push(appends_a_second(&directory).await?);
        file.push(bare_writes_a_second(&root.join("bare"))?);
        std::fs::remove_dir_all(&directory)?;
    }
    println!("durable 1 KB appends/s, {IN_FLIGHT} in flight: {:.0}", median(&mut journal));
    println!("bare write + fdatasync of as many bytes, {IN_FLIGHT} KB each: {:.0} KB/s", median(&mut file));

    let directory = root.join("quiet");
    let (journal, bare) = (quiet(&directory).await?, quiet_bare(&root.join("bare"))?);
    println!("one append every 2 ms: p50 {:.3} ms, p99 {:.3} ms", journal.0, journal.1);
    println!("bare write + fdatasync: p50 {:.3} ms, p99 {:.3} ms", bare.0, bare.1);
    std::fs::remove_dir_all(&directory)?;

    let directory = root.join("many");
    many_records(&directory).await?;
    std::fs::remove_dir_all(&root)?;
    Ok(())
}

fn record(bytes: usize, partition: u32) -> NewRecord {
    NewRecord {
        topic: Topic::WebhooksRaw,
        partition,
        at_ms: 1_700_000_000_000,
        key: Bytes::from_static(b"tenant"),
        value: Some(Bytes::from(vec![b'x'; bytes])),
        headers: Headers::default(),
    }
}

async fn appends_a_second(directory: &std::path::Path) -> Outcome<f64> {
    let journal = Arc::new(Journal::open(directory, Settings::default())?);
    let record = record(1024, 0);
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for task in 0..IN_FLIGHT {
        let (journal, record) = (journal.clone(), NewRecord { partition: task as u32 % 8, ..record.clone() });
        tasks.push(tokio::spawn(async move {
            for _ in 0..APPENDS / IN_FLIGHT {
                journal.append(vec![record.clone()]).await?;
            }
            Ok::<_, pipeline::ports::LogError>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let rate = APPENDS as f64 / begun.elapsed().as_secs_f64();
    let stats = journal.stats();
    println!("  {rate:.0}/s, {:.0} appends a sync", stats.records_written as f64 / stats.syncs as f64);
    journal.close().await?;
    Ok(rate)
}

fn bare_writes_a_second(path: &std::path::Path) -> Outcome<f64> {
    let mut file = File::create(path)?;
    let bytes = vec![b'x'; 1024 * IN_FLIGHT];
    let begun = Instant::now();
    for _ in 0..APPENDS / IN_FLIGHT {
        file.write_all(&bytes)?;
        file.sync_data()?;
    }
    let rate = APPENDS as f64 / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

async fn quiet(directory: &std::path::Path) -> Outcome<(f64, f64)> {
    let journal = Journal::open(directory, Settings::default())?;
    let mut times = Vec::new();
    for _ in 0..1000 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let begun = Instant::now();
        journal.append(vec![record(1024, 0)]).await?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    journal.close().await?;
    Ok(percentiles(times))
}

fn quiet_bare(path: &std::path::Path) -> Outcome<(f64, f64)> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let bytes = [b'x'; 1024];
    let mut times = Vec::new();
    for _ in 0..1000 {
        std::thread::sleep(Duration::from_millis(2));
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    std::fs::remove_file(path)?;
    Ok(percentiles(times))
}

async fn many_records(directory: &std::path::Path) -> Outcome<()> {
    let records = std::env::var("NEXUS_BENCH_RECORDS").ok().and_then(|count| count.parse().ok()).unwrap_or(RECORDS);
    println!("memory before: {} MB", resident_mb());
    let journal = Arc::new(Journal::open(directory, Settings::default())?);
    let permits = Arc::new(Semaphore::new(64));
    let small = record(100, 0);
    let begun = Instant::now();
    for _ in 0..records / BATCH {
        let permit = permits.clone().acquire_owned().await?;
        let appending = journal.append(vec![small.clone(); BATCH]);
        tokio::spawn(async move {
            let _permit = permit;
            appending.await
        });
    }
    drop(permits.acquire_many(64).await?);
    println!(
        "{records} records of 100 B in batches of {BATCH}: {:.0}/s",
        records as f64 / begun.elapsed().as_secs_f64()
    );
    println!("memory with {records} records: {} MB", resident_mb());

    let mut reader = journal.read(Topic::WebhooksRaw, 0, Start::Oldest, Visibility::Durable).await?;
    let begun = Instant::now();
    let mut read = 0;
    while read < records / BATCH * BATCH {
        read += reader.next(1024).await?.len();
    }
    println!("read from the disk: {:.0} records/s", read as f64 / begun.elapsed().as_secs_f64());
    drop(reader);
    journal.close().await?;
    println!("on the disk: {} MB in {} segments", journal.stats().disk_bytes >> 20, journal.stats().segments);
    drop(journal);
    let begun = Instant::now();
    let journal = Journal::open(directory, Settings::default())?;
    println!("opened in {:.0} ms, memory {} MB", begun.elapsed().as_secs_f64() * 1000.0, resident_mb());
    journal.close().await?;
    Ok(())
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() / 1024
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn percentiles(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}
