//! What the memory takes: a filtered search over a hundred thousand pieces of
//! one project (exact, embedded), and a text's way through a model.
//!
//! `cargo bench -p nexus-benches --bench memory -- [--pieces N] [--minilm FOLDER]`

use std::{path::PathBuf, sync::Arc, time::Instant};

use clap::Parser;
use memory::{
    embed::{Embedder, hashed::Hashed, minilm::MiniLm},
    vectors::{Ask, Filter, Indexed, Piece, Scope, Vectors, embedded::Embedded},
};
use nexus_benches::{Spread, WORDS, rss_mb};
use pipeline::event::{Text, TextKind, Time, Trust};
use runtime::config::Config;
use store::Store;
use udfs::recall::terms::terms;

/// See above.
#[derive(Parser)]
struct Arguments {
    /// Pieces of the one project
    #[arg(long, default_value_t = 100_000)]
    pieces: usize,
    /// Searches
    #[arg(long, default_value_t = 1_000)]
    searches: usize,
    /// Where `nexus model get minilm` put the model
    #[arg(long)]
    minilm: Option<PathBuf>,
    /// Cargo's own
    #[arg(long, hide = true)]
    bench: bool,
}

fn wording(number: usize) -> String {
    let word = |shift: usize| WORDS[(number.wrapping_mul(2_654_435_761) >> shift) % WORDS.len()];
    format!("{} {} {} {} note {number} by the {} {}", word(3), word(7), word(11), word(17), word(23), word(29))
}

fn text(number: usize) -> Text {
    Text {
        id: format!("t{number}"),
        tenant_id: "acme".to_owned(),
        project_id: "p1".to_owned(),
        kind: TextKind::Message,
        text: String::new(),
        task_id: Some(format!("task_{}", number % 50)),
        channel_id: None,
        thread_ts: None,
        thread_seq: None,
        author: Some(format!("person {}", number % 20)),
        trust: Trust::Member,
        at: Time(number as i64),
        revised_at: Time(number as i64),
        is_edit: false,
    }
}

async fn searches(arguments: &Arguments) {
    let directory = std::env::temp_dir().join(format!("nexus-bench-{}", std::process::id()));
    let mut config = Config::load(None, std::iter::empty()).expect("the defaults");
    config.data_dir.clone_from(&directory);
    let store = Arc::new(Store::open(&config).await.expect("a store"));
    let vectors = Embedded::new(Arc::clone(&store), 1 << 30);
    let hashed = Hashed::new();
    let begun = Instant::now();
    for first in (0..arguments.pieces).step_by(2_000) {
        let numbers = first..(first + 2_000).min(arguments.pieces);
        let texts: Vec<String> = numbers.clone().map(wording).collect();
        let made = hashed.embed(texts.clone()).await.expect("vectors");
        let indexed = numbers.zip(texts.into_iter().zip(made));
        let indexed: Vec<Indexed> = indexed
            .map(|(number, (wording, vector))| Indexed {
                text: text(number),
                pieces: vec![Piece { text: wording, vector }],
            })
            .collect();
        vectors.put("acme", hashed.model(), &indexed).await.expect("put");
    }
    println!("put: {} pieces in {:.1} s", arguments.pieces, begun.elapsed().as_secs_f64());
    let scope = Scope { tenant_id: "acme".to_owned(), project_ids: vec!["p1".to_owned()] };
    let before = rss_mb(std::process::id());
    for (name, filter) in [
        ("no filter", Filter::default()),
        ("one author of 20", Filter { author: Some("person 7".to_owned()), ..Filter::default() }),
        ("the newer half", Filter { from: Some(Time(arguments.pieces as i64 / 2)), ..Filter::default() }),
        ("one task of 50", Filter { task_id: Some("task_3".to_owned()), ..Filter::default() }),
    ] {
        let mut took = Vec::with_capacity(arguments.searches);
        for number in 0..=arguments.searches {
            let query = wording(number * 97 + 5);
            let vector = hashed.embed(vec![query.clone()]).await.expect("a vector").remove(0);
            let ask = Ask { vector: Some(vector), terms: terms(&query), share: 0.5, filter: filter.clone(), limit: 10 };
            let begun = Instant::now();
            let hits = vectors.search(&scope, hashed.model(), &ask).await.expect("hits");
            assert!(!hits.is_empty(), "every query has an answer");
            if number == 0 {
                println!("{name}: the first, {:.3} s", begun.elapsed().as_secs_f64());
            } else {
                took.push(begun.elapsed().as_micros() as u32);
            }
        }
        println!("{name}: {}", Spread::of(&mut took));
    }
    println!("memory: {before:.0} MB before the first search, {:.0} MB after", rss_mb(std::process::id()));
    store.close().await;
    let _ = std::fs::remove_dir_all(directory);
}

async fn model(folder: &std::path::Path) {
    let before = rss_mb(std::process::id());
    let begun = Instant::now();
    let model = MiniLm::open(folder, 1).expect("the model");
    let (opened, after) = (begun.elapsed().as_millis(), rss_mb(std::process::id()));
    println!("MiniLM: open {opened} ms, {:.0} MB", after - before);
    let sentence = "We decided to move the ledger to the new database next week because the auditors asked for it. ";
    for (name, text) in [
        ("a query", "who decided on the database?".to_owned()),
        ("40 tokens", sentence.repeat(2)),
        ("200 tokens", sentence.repeat(10)),
    ] {
        let mut took = Vec::new();
        for _ in 0..100 {
            let begun = Instant::now();
            model.embed(vec![text.clone()]).await.expect("a vector");
            took.push(begun.elapsed().as_micros() as u32);
        }
        println!("MiniLM, {name}: {}", Spread::of(&mut took));
    }
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        searches(&arguments).await;
        if let Some(folder) = &arguments.minilm {
            model(folder).await;
        }
    });
}
