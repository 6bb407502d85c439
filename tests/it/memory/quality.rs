//! How well a search finds, on 600 messages and 64 questions
//! (`tests/fixtures/recall`): how many answers are among the first five, and
//! whether what has a number or a code is found by it.

use std::{path::Path, sync::Arc};

use memory::{
    embed::{Embedder, hashed::Hashed, minilm::MiniLm},
    vectors::{Ask, Filter, Indexed, Piece, Scope, Vectors, embedded::Embedded},
};
use udfs::recall::terms::terms;

use super::suite::{store, text};

struct Recall {
    keyword: f32,
    vector: f32,
    hybrid: f32,
    /// Questions that name a code, and how many found it.
    codes: (usize, usize),
}

/// How much nearness may count: printed beside what the embedder itself says, so
/// that its number can be seen to be a good one.
const SHARES: [f32; 6] = [0.3, 0.5, 0.6, 0.7, 0.8, 0.9];

fn lines(name: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/recall").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split_once('\t').unwrap()).map(|(one, other)| (one.into(), other.into())).collect()
}

async fn measured(embedder: Arc<dyn Embedder>) -> Recall {
    let (_directory, store) = store().await;
    let vectors = Embedded::new(store, 64 << 20);
    let (messages, questions) = (lines("messages.tsv"), lines("questions.tsv"));
    let made = embedder.embed(messages.iter().map(|(_, text)| text.clone()).collect()).await.unwrap();
    let texts: Vec<Indexed> = messages
        .iter()
        .zip(made)
        .enumerate()
        .map(|(number, ((_, wording), vector))| {
            let pieces = vec![Piece { text: wording.clone(), vector }];
            Indexed { text: text("acme", "p1", &number.to_string(), wording), pieces }
        })
        .collect();
    vectors.put("acme", embedder.model(), &texts).await.unwrap();
    let asked = embedder.embed(questions.iter().map(|(_, question)| question.clone()).collect()).await.unwrap();
    let scope = Scope { tenant_id: "acme".to_owned(), project_ids: vec!["p1".to_owned()] };
    let mut found = [0.0; 3 + SHARES.len()];
    for ((answer, question), vector) in questions.iter().zip(asked) {
        let (near, words) = (Some(vector), terms(question));
        let mut ways = vec![(None, words.clone(), 0.0), (near.clone(), Vec::new(), 1.0)];
        let hybrid = [&[embedder.share()], &SHARES[..]].concat().into_iter();
        ways.extend(hybrid.map(|share| (near.clone(), words.clone(), share)));
        for (found, (vector, terms, share)) in found.iter_mut().zip(ways) {
            let ask = Ask { vector, terms, share, filter: Filter::default(), limit: 5 };
            let hits = vectors.search(&scope, embedder.model(), &ask).await.unwrap();
            *found += f32::from(u8::from(hits.iter().any(|hit| hit.passage.text_id == *answer)));
        }
    }
    let mut codes = (0, 0);
    for (answer, code) in codes_of(&messages) {
        let question = format!("What did we say about {code}?");
        let vector = embedder.embed(vec![question.clone()]).await.unwrap().pop();
        let (terms, share) = (terms(&question), embedder.share());
        let ask = Ask { vector, terms, share, filter: Filter::default(), limit: 5 };
        let hits = vectors.search(&scope, embedder.model(), &ask).await.unwrap();
        codes.0 += 1;
        codes.1 += usize::from(hits.iter().any(|hit| hit.passage.text_id == answer));
    }
    let [keyword, vector, hybrid, shares @ ..] = found.map(|found| found / questions.len() as f32);
    println!("recall@5 of hybrid by share of {}: {SHARES:?} {shares:.2?}", embedder.model().name);
    Recall { keyword, vector, hybrid, codes }
}

/// The numbers and codes that one message alone has, and which.
fn codes_of(messages: &[(String, String)]) -> Vec<(String, &str)> {
    let is_code = |word: &&str| word.len() >= 4 && word.bytes().any(|byte| byte.is_ascii_digit());
    let words = messages.iter().enumerate().flat_map(|(number, (_, text))| {
        let words = text.split(|sign: char| !sign.is_alphanumeric() && sign != '-').filter(is_code);
        words.map(move |word| (number.to_string(), word))
    });
    let words: Vec<_> = words.collect();
    let alone = |word: &str| words.iter().filter(|(_, other)| *other == word).count() == 1;
    words.iter().filter(|(_, word)| alone(word)).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_do_not_lose_to_keywords() {
    let Recall { keyword, vector, hybrid, codes } = measured(Arc::new(Hashed::new())).await;
    println!("recall@5: keyword {keyword:.2}, hashed {vector:.2}, hybrid with hashes {hybrid:.2}");
    assert!(keyword > 0.4, "{keyword}");
    assert!(hybrid >= keyword, "{hybrid} {keyword}");
    assert!(codes.0 >= 5 && codes.1 == codes.0, "{codes:?}");
}

/// With the model that `nexus model get minilm` fetches, in the folder that
/// `NEXUS_TEST_MINILM` names.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_beats_keywords_clearly() {
    let Ok(folder) = std::env::var("NEXUS_TEST_MINILM") else { return };
    let embedder = Arc::new(MiniLm::open(Path::new(&folder), 2).unwrap());
    let Recall { keyword, vector, hybrid, codes } = measured(embedder).await;
    println!("recall@5: keyword {keyword:.2}, MiniLM {vector:.2}, hybrid with MiniLM {hybrid:.2}");
    assert!(hybrid >= keyword + 0.15, "{hybrid} {keyword}");
    assert!(hybrid >= vector, "{hybrid} {vector}");
    assert!(codes.0 >= 5 && codes.1 == codes.0, "{codes:?}");
}
