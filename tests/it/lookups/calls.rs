//! One call: what it may reach, how often it is tried, and what it tells.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pipeline::{
    ports::Clock,
    retry::{CircuitPolicy, Policy},
};
use providers::{
    clickup::ClickUp,
    client::{
        Call, Caller, Cause, Credential, Http, Ledger, Limits, NotSent, Policies, ProviderError, Request, WhileDown,
        budget::Limit,
    },
};
use reqwest::Method;
use runtime::clock::SystemClock;
use serde_json::json;

use super::{Provider, TOKEN};

const QUICK: Limits =
    Limits { allow_private_targets: true, connect_timeout_ms: 2_000, timeout_ms: 5_000, body_max_bytes: 64 << 10 };

fn policies() -> Policies {
    Policies {
        retry: Policy { backoff_first_ms: 5, backoff_max_ms: 20, ..Policy::default() },
        circuit: CircuitPolicy { failures_max: 5, open_ms: 300, probe_ms: 300 },
        ..Policies::default()
    }
}

fn caller(limits: Limits) -> Caller {
    caller_with(limits, policies())
}

fn caller_with(limits: Limits, policies: Policies) -> Caller {
    Caller::new(Http::new(limits).unwrap(), Arc::new(SystemClock), policies, Ledger::default())
}

fn call(url: &str, method: Method) -> Call {
    Call {
        connection: "acme-clickup".to_owned(),
        request: Request::new(&ClickUp, method, url.parse().unwrap()).credential(Credential::plain(TOKEN).unwrap()),
        scope: None,
        deadline_ms: Some(SystemClock.now_ms() + 5_000),
        while_down: WhileDown::Fail,
    }
}

fn task(provider: &Provider) -> Call {
    provider.task("t1");
    call(&format!("{}/clickup/api/v2/task/t1", provider.url), Method::GET)
}

fn refused(called: Result<providers::client::Answer, ProviderError>) -> ProviderError {
    called.expect_err("an error")
}

fn is_misconfigured(error: &ProviderError) -> bool {
    matches!(error, ProviderError::NotSent { why: NotSent::Misconfigured, .. })
}

#[tokio::test]
async fn private_targets_are_refused_by_default() {
    let provider = Provider::start().await;
    let caller = caller(Limits { allow_private_targets: false, ..QUICK });
    let port = provider.url.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "localhost", "127.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0"] {
        let error = refused(caller.call(&call(&format!("https://{host}:{port}/"), Method::GET)).await);
        assert!(is_misconfigured(&error), "{host}: {error:?}");
        assert!(error.to_string().contains("NEXUS_ALLOW_PRIVATE_TARGETS"), "{host}: {error}");
    }
    for (url, named) in [
        ("http://api.clickup.example/", "https"),
        ("file:///etc/passwd", "https"),
        ("https://ada:hush@api.clickup.example/", "password"),
    ] {
        let error = refused(caller.call(&call(url, Method::GET)).await);
        assert!(is_misconfigured(&error), "{url}: {error:?}");
        assert!(error.to_string().contains(named) && !error.to_string().contains("hush"), "{error}");
    }
    assert_eq!(caller.circuits_open(), 0, "it says nothing of the provider");
    assert!(provider.fakes.world().calls.is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (provider, elsewhere) = (Provider::start().await, Provider::start().await);
    for status in [301, 302, 307, 308] {
        let target = format!("{}/clickup/api/v2/task/t1", elsewhere.url);
        provider.fault(json!({"status": status, "times": 1, "headers": [["location", target]]}));
        let error = refused(caller(QUICK).call(&task(&provider)).await);
        assert!(is_misconfigured(&error), "{error:?}");
    }
    assert!(elsewhere.fakes.world().calls.is_empty(), "no token went there");
}

#[tokio::test]
async fn a_huge_answer_is_not_read() {
    let provider = Provider::start().await;
    provider.fault(json!({"bodyBytes": 50_000_000}));
    let error = refused(caller(QUICK).call(&task(&provider)).await);
    assert!(matches!(&error, ProviderError::Rejected { detail, .. } if detail.contains("65536")), "{error:?}");
}

#[tokio::test]
async fn what_may_pass_is_tried_three_times() {
    let provider = Provider::start().await;
    provider.fault(json!({"status": 503, "times": 2}));
    assert_eq!(caller(QUICK).call(&task(&provider)).await.unwrap().status, 200);
    assert_eq!(provider.asked("t1"), 3);
    provider.fault(json!({"status": 502, "times": 3}));
    let error = refused(caller(QUICK).call(&task(&provider)).await);
    assert!(matches!(error, ProviderError::RetryAt { cause: Cause::Failure, .. }), "{error:?}");
    assert_eq!(provider.asked("t1"), 6);
    // What cannot pass is tried once.
    let gone = call(&format!("{}/clickup/api/v2/task/gone", provider.url), Method::GET);
    assert!(matches!(refused(caller(QUICK).call(&gone).await), ProviderError::Gone { .. }));
    assert_eq!(provider.asked("gone"), 1);
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() {
    let provider = Provider::start().await;
    provider.task("t1");
    provider.fault(json!({"method": "POST", "status": 500, "lands": true}));
    let url = format!("{}/clickup/api/v2/task/t1/comment", provider.url);
    let mut comment = call(&url, Method::POST);
    comment.request = comment.request.json(&json!({"comment_text": "done", "notify_all": false}));
    let uncertain = refused(caller(QUICK).call(&comment).await);
    assert!(matches!(uncertain, ProviderError::MayHaveLanded { .. }), "{uncertain:?}");
    assert_eq!(provider.fakes.world().clickup_comments.all().count(), 1);
}

#[tokio::test]
async fn silence_is_given_up_in_time() {
    let provider = Provider::start().await;
    provider.fault(json!({"hang": true}));
    let caller = caller(Limits { timeout_ms: 500, ..QUICK });
    let begun = Instant::now();
    let silent = refused(caller.call(&task(&provider)).await);
    assert!(matches!(&silent, ProviderError::RetryAt { detail, .. } if detail == "no answer in time"), "{silent:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "not before the call's own end: {:?}", begun.elapsed());
    assert_eq!(provider.asked("t1"), 3);
}

#[tokio::test]
async fn a_provider_that_is_down_is_left_alone_until_it_may_be_back() {
    let provider = Provider::start().await;
    let caller = caller(QUICK);
    provider.fault(json!({"status": 503, "times": 5}));
    for _ in 0..2 {
        let _ = caller.call(&task(&provider)).await;
    }
    assert_eq!((provider.asked("t1"), caller.circuits_open()), (5, 1), "three attempts, and two more");
    let down = refused(caller.call(&task(&provider)).await);
    assert!(matches!(down, ProviderError::NotSent { why: NotSent::Down, retry_at_ms: Some(_), .. }), "{down:?}");
    assert_eq!(provider.asked("t1"), 5, "it was not asked");
    // Another connection is another matter.
    let other = Call { connection: "umbra-clickup".to_owned(), ..task(&provider) };
    assert_eq!(caller.call(&other).await.unwrap().status, 200);
    // Who wants to wait, waits; then one call shows that it is back.
    let patient = Call { while_down: WhileDown::Wait, ..task(&provider) };
    assert_eq!(caller.call(&patient).await.unwrap().status, 200);
    assert_eq!(caller.circuits_open(), 0);
}

#[tokio::test]
async fn a_pause_is_kept_when_there_is_time_for_it() {
    let provider = Provider::start().await;
    provider.fault(json!({"status": 429, "times": 1, "headers": [["retry-after", "1"]]}));
    let begun = Instant::now();
    assert_eq!(caller(QUICK).call(&task(&provider)).await.unwrap().status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(950), "{:?}", begun.elapsed());

    provider.fault(json!({"status": 429, "headers": [["retry-after", "60"]]}));
    let (caller, begun) = (caller(QUICK), Instant::now());
    let limited = refused(caller.call(&task(&provider)).await);
    assert!(matches!(limited, ProviderError::RetryAt { cause: Cause::Limit { .. }, .. }), "{limited:?}");
    let asked = provider.asked("t1");
    let spent = refused(caller.call(&task(&provider)).await);
    assert!(matches!(spent, ProviderError::NotSent { why: NotSent::BudgetSpent { .. }, .. }), "the token is paused");
    assert!(begun.elapsed() < Duration::from_secs(30), "it was waited for: {:?}", begun.elapsed());
    assert_eq!(provider.asked("t1"), asked, "it was not asked");
}

#[tokio::test]
async fn a_spent_window_is_waited_for_before_it_is_refused() {
    let provider = Provider::start().await;
    provider.fakes.world().limits.insert("clickup", fakes::limits::Limited::new(2, 500));
    let limits = vec![("clickup", Limit { calls_max: 2, window_ms: 500 })];
    let caller = caller_with(QUICK, Policies { limits, ..policies() });
    for _ in 0..4 {
        assert_eq!(caller.call(&task(&provider)).await.unwrap().status, 200);
    }
    assert!(provider.fakes.world().calls.iter().all(|made| made.status == Some(200)), "not one 429");
}

#[tokio::test]
async fn a_token_is_in_no_error() {
    let provider = Provider::start().await;
    for status in [400, 401, 403, 429, 500] {
        provider.fault(json!({"status": status, "tellsToken": true, "times": 3}));
        let mut call = task(&provider);
        call.deadline_ms = Some(SystemClock.now_ms() + 500);
        let stopped = caller(QUICK).call(&call).await.unwrap_err();
        let told = format!("{stopped} {stopped:?} {call:?}");
        assert!(!told.contains("hush"), "{told}");
        assert!(told.contains("cannot use token ********"), "{told}");
        provider.fakes.world().faults.clear();
    }
    // An address may hold a secret too: nobody is there, and it is not told.
    let nobody = call("http://127.0.0.1:1/hush?token=hush", Method::GET);
    let told = format!("{:?}", caller(QUICK).call(&nobody).await);
    assert!(!told.contains("hush") && told.contains("cannot connect"), "{told}");
}
