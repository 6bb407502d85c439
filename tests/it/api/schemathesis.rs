//! What a stranger finds who reads the document and tries everything: nothing.
//! Switched on by `NEXUS_TEST_SCHEMATHESIS=1`; then a missing Python is a
//! failure.

use std::path::PathBuf;

use super::Api;

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    if std::env::var_os("NEXUS_TEST_SCHEMATHESIS").is_none() {
        eprintln!("not run, because NEXUS_TEST_SCHEMATHESIS is not set");
        return;
    }
    let api = Api::start().await;
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/schemathesis.sh");
    let status = tokio::process::Command::new(script).arg(api.hub.url()).arg(api.local()).status().await.unwrap();
    assert!(status.success(), "schemathesis found something");
    api.hub.is_unharmed().await;
}
