//! The store's promises, kept by SQLite and by a real PostgreSQL.
//!
//! PostgreSQL is switched on by `NEXUS_TEST_POSTGRES=postgres://user@host/db`
//! (`.ci/run` starts one); then a server that does not answer is a failure.
//! Every test has a database of its own there.

mod audit;
mod directory;
mod isolation;
mod outbox;
mod projection;
mod seeding;

use std::{
    future::Future,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use pipeline::event::Tenant;
use runtime::config::Config;
use store::Store;
use tempfile::TempDir;

/// An engine under test, and where its data is.
pub struct Bench {
    pub config: Config,
    pub store: Store,
    _folder: TempDir,
}

impl Bench {
    /// The store as another process opens it.
    pub async fn another(&self) -> Store {
        Store::open(&self.config).await.expect("the same store once more")
    }

    /// With tenants that have nothing yet.
    pub async fn with_tenants(self, tenants: &[&str]) -> Self {
        for tenant in tenants {
            let row = Tenant { name: (*tenant).to_owned(), ..Tenant::default() };
            self.store.tenants().create(tenant, tenant, &row).await.expect("a tenant");
        }
        self
    }
}

/// Settings of a hub that has `folder` for itself.
pub fn config(folder: &TempDir) -> Config {
    let mut config = Config::load(None, []).expect("the defaults");
    config.data_dir = folder.path().to_path_buf();
    config.auth.bcrypt_cost = 4;
    config
}

/// Tells one story on every engine that is switched on.
pub async fn on_each<F: Future<Output = ()>>(test: &str, story: impl Fn(Bench) -> F) {
    let folder = TempDir::new().unwrap();
    let config_of = config(&folder);
    let store = Store::open(&config_of).await.expect("an SQLite file");
    story(Bench { config: config_of, store, _folder: folder }).await;
    let Ok(server) = std::env::var("NEXUS_TEST_POSTGRES") else {
        eprintln!("{test}: not on PostgreSQL, because NEXUS_TEST_POSTGRES is not set");
        return;
    };
    let folder = TempDir::new().unwrap();
    let mut config_of = config(&folder);
    config_of.store.url = own_database(&server, test).await;
    let store = Store::open(&config_of).await.expect("the server that NEXUS_TEST_POSTGRES names");
    story(Bench { config: config_of, store, _folder: folder }).await;
}

/// A new database on the server. They go with its cluster, which is the test
/// run's own.
async fn own_database(server: &str, test: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("{test}_{}_{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    let pool = sqlx::PgPool::connect(server).await.expect("the server that NEXUS_TEST_POSTGRES names");
    let made = sqlx::AssertSqlSafe(format!("CREATE DATABASE \"{name}\""));
    sqlx::query(made).execute(&pool).await.expect("a database of its own");
    pool.close().await;
    let (base, _) = server.rsplit_once('/').expect("an address with a database");
    format!("{base}/{name}")
}
