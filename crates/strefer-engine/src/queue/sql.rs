//! A queue in a database: SQLite in a file for the processes of one machine, PostgreSQL for those of many.
//!
//! Whoever takes an item holds it for a while and renews that; what was held by a worker that is gone is free again when its
//! time is over. Clocks are the database's.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{AnyPool, AssertSqlSafe, Row};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{Outcome, Take, WorkQueue};
use crate::error::{Error, Result};

/// Items that are entered at once.
const AT_ONCE: usize = 200;

/// Where databases differ.
struct Dialect {
    /// Seconds since 1970.
    now: &'static str,
    /// Passes over rows that others are just taking.
    skip: &'static str,
}

const SQLITE: Dialect = Dialect { now: "(julianday('now') - 2440587.5) * 86400.0", skip: "" };
const POSTGRES: Dialect =
    Dialect { now: "cast(extract(epoch from clock_timestamp()) as float8)", skip: "FOR UPDATE SKIP LOCKED" };

/// A queue in a database, of one of its runs.
pub struct SqlQueue {
    runtime: Runtime,
    pool: AnyPool,
    dialect: &'static Dialect,
    /// Where it is, for messages.
    shown: String,
    run: String,
    owner: String,
    lease_s: f64,
    names: Vec<String>,
    places: HashMap<String, usize>,
    heart: JoinHandle<()>,
}

impl SqlQueue {
    /// Opens `sqlite:FILE` or `postgres://…`, and enters items that are not there yet. Of a run that is over all items are
    /// open again. Held items are free again after `lease`, unless their holder renews them, as this does by itself.
    ///
    /// # Errors
    /// A database that cannot be reached or used.
    pub fn open(url: &str, run: &str, names: Vec<String>, lease: Duration) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let io = |source| Error::Io { path: "the queue's threads".into(), source };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(io)?;
        let (address, dialect) = match url.strip_prefix("sqlite:") {
            Some(file) => (format!("sqlite:{file}?mode=rwc"), &SQLITE),
            None => (url.to_owned(), &POSTGRES),
        };
        let shown = without_password(url);
        let failed = |error: sqlx::Error| Error::Queue { url: shown.clone(), reason: error.to_string() };
        let connect = AnyPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(Duration::from_secs(60))
            .connect(&address);
        let pool = runtime.block_on(connect).map_err(failed)?;
        let owner = format!("{}-{:x}", std::process::id(), unique());
        let lease_s = lease.as_secs_f64();
        runtime.block_on(enter(&pool, dialect, run, &names)).map_err(failed)?;
        let renew = format!(
            "UPDATE strefer_work SET until_s = {} + $1 WHERE run = $2 AND owner = $3 AND state = 'held'",
            dialect.now
        );
        let (beats, run_name, own) = (pool.clone(), run.to_owned(), owner.clone());
        let heart = runtime.spawn(async move {
            loop {
                tokio::time::sleep(lease / 3).await;
                let query =
                    sqlx::query(AssertSqlSafe(renew.as_str())).bind(lease_s).bind(&run_name).bind(&own);
                if let Err(error) = query.execute(&beats).await {
                    tracing::warn!("leases could not be renewed: {error}");
                }
            }
        });
        let places = names.iter().enumerate().map(|(place, name)| (name.clone(), place)).collect();
        let run = run.to_owned();
        Ok(Self { runtime, pool, dialect, shown, run, owner, lease_s, names, places, heart })
    }

    fn failed(&self, error: &sqlx::Error) -> Error {
        Error::Queue { url: self.shown.clone(), reason: error.to_string() }
    }
}

/// Something that no other process has.
fn unique() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = format!("{} {:?}", now.as_nanos(), std::thread::current().id());
    u64::from_le_bytes(
        blake3::hash(seed.as_bytes()).as_bytes()[..8].try_into().expect("a digest has 32 bytes"),
    )
}

fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(start), Some(end)) if start < end => format!("{}://…{}", &url[..start], &url[end..]),
        _ => url.to_owned(),
    }
}

async fn enter(pool: &AnyPool, dialect: &Dialect, run: &str, names: &[String]) -> sqlx::Result<()> {
    if dialect.skip.is_empty() {
        sqlx::query("PRAGMA journal_mode = WAL").execute(pool).await?;
    }
    let table = "CREATE TABLE IF NOT EXISTS strefer_work (
        run TEXT NOT NULL, item TEXT NOT NULL, place BIGINT NOT NULL, turn BIGINT NOT NULL, state TEXT NOT NULL,
        owner TEXT, until_s DOUBLE PRECISION NOT NULL, PRIMARY KEY (run, item))";
    if let Err(error) = sqlx::query(table).execute(pool).await {
        // Two that make it at once: one of them finds it made.
        sqlx::query("SELECT item FROM strefer_work LIMIT 1").fetch_optional(pool).await.map_err(|_| error)?;
    }
    let reopen = "UPDATE strefer_work SET state = 'open', turn = 0 WHERE run = $1 AND NOT EXISTS
        (SELECT 1 FROM strefer_work WHERE run = $1 AND state <> 'settled')";
    sqlx::query(reopen).bind(run).execute(pool).await?;
    for (portion, names) in names.chunks(AT_ONCE).enumerate() {
        let rows: Vec<String> = (0..names.len())
            .map(|at| format!("($1, ${}, {}, 0, 'open', 0.0)", at + 2, portion * AT_ONCE + at))
            .collect();
        let text = format!(
            "INSERT INTO strefer_work (run, item, place, turn, state, until_s) VALUES {} ON CONFLICT DO NOTHING",
            rows.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(text.as_str())).bind(run);
        for name in names {
            query = query.bind(name);
        }
        query.execute(pool).await?;
    }
    Ok(())
}

impl WorkQueue for SqlQueue {
    fn take(&self) -> Result<Take> {
        let Dialect { now, skip } = self.dialect;
        let text = format!(
            "UPDATE strefer_work SET state = 'held', owner = $1, until_s = {now} + $2 WHERE run = $3 AND item = (
                SELECT item FROM strefer_work WHERE run = $3
                    AND (state = 'open' OR (state = 'held' AND until_s < {now}))
                ORDER BY turn, place LIMIT 1 {skip}
            ) RETURNING item"
        );
        let query =
            sqlx::query(AssertSqlSafe(text.as_str())).bind(&self.owner).bind(self.lease_s).bind(&self.run);
        let row: Option<AnyRow> =
            self.runtime.block_on(query.fetch_optional(&self.pool)).map_err(|error| self.failed(&error))?;
        if let Some(row) = row {
            let name: String = row.try_get(0).map_err(|error| self.failed(&error))?;
            return match self.places.get(&name) {
                Some(place) => Ok(Take::Item(*place)),
                // The list of another process is longer.
                None => Err(Error::Queue {
                    url: self.shown.clone(),
                    reason: "it holds videos that this list has not; give all workers one list".to_owned(),
                }),
            };
        }
        let left = sqlx::query("SELECT item FROM strefer_work WHERE run = $1 AND state <> 'settled' LIMIT 1");
        let left = self.runtime.block_on(left.bind(&self.run).fetch_optional(&self.pool));
        let left: Option<AnyRow> = left.map_err(|error| self.failed(&error))?;
        Ok(if left.is_some() { Take::Later } else { Take::Empty })
    }

    fn finish(&self, place: usize, outcome: Outcome) -> Result<()> {
        let text = match outcome {
            Outcome::Settled => {
                "UPDATE strefer_work SET state = 'settled' WHERE run = $1 AND item = $2 AND owner = $3"
            }
            Outcome::Again => {
                "UPDATE strefer_work SET state = 'open', turn = turn + 1 WHERE run = $1 AND item = $2 AND owner = $3"
            }
        };
        let query = sqlx::query(text).bind(&self.run).bind(&self.names[place]).bind(&self.owner);
        self.runtime.block_on(query.execute(&self.pool)).map_err(|error| self.failed(&error))?;
        Ok(())
    }
}

impl Drop for SqlQueue {
    fn drop(&mut self) {
        self.heart.abort();
        // What is still held, after an error, is given back at once.
        let text = "UPDATE strefer_work SET state = 'open' WHERE run = $1 AND owner = $2 AND state = 'held'";
        let query = sqlx::query(text).bind(&self.run).bind(&self.owner);
        let _ = self.runtime.block_on(query.execute(&self.pool));
        self.runtime.block_on(self.pool.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SQLite, and PostgreSQL where `STREFER_POSTGRES` names one.
    fn databases(dir: &std::path::Path) -> Vec<String> {
        let file = format!("sqlite:{}", dir.join("queue.sqlite").display());
        [Some(file), std::env::var("STREFER_POSTGRES").ok()].into_iter().flatten().collect()
    }

    #[test]
    fn a_lease_is_renewed_while_its_holder_lives_and_free_after_it_died() {
        let dir = tempfile::tempdir().unwrap();
        for url in databases(dir.path()) {
            let run = format!("{:x}", unique());
            let names = || vec!["a".to_owned(), "b".to_owned()];
            let lease = Duration::from_millis(600);
            let open = || SqlQueue::open(&url, &run, names(), lease).unwrap();
            let (one, other) = (open(), open());
            assert_eq!((one.take().unwrap(), other.take().unwrap()), (Take::Item(0), Take::Item(1)));
            std::thread::sleep(2 * lease);
            assert_eq!(one.take().unwrap(), Take::Later, "{url}: both are renewed");
            // It dies: nothing is given back, nothing renewed.
            other.heart.abort();
            std::mem::forget(other);
            std::thread::sleep(2 * lease);
            assert_eq!(one.take().unwrap(), Take::Item(1));
            one.finish(0, Outcome::Again).unwrap();
            one.finish(1, Outcome::Settled).unwrap();
            assert_eq!(one.take().unwrap(), Take::Item(0));
            one.finish(0, Outcome::Settled).unwrap();
            assert_eq!(one.take().unwrap(), Take::Empty);
            // A later run looks at everything again.
            assert_eq!(open().take().unwrap(), Take::Item(0));
        }
    }

    #[test]
    fn many_threads_take_each_item_once() {
        let dir = tempfile::tempdir().unwrap();
        for url in databases(dir.path()) {
            let run = format!("{:x}", unique());
            let names: Vec<String> = (0..300).map(|item| format!("item {item}")).collect();
            let taken = std::sync::Mutex::new(Vec::new());
            // One that came when all is done would look at everything again.
            let opened = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let queue =
                            SqlQueue::open(&url, &run, names.clone(), Duration::from_secs(20)).unwrap();
                        opened.wait();
                        loop {
                            match queue.take().unwrap() {
                                Take::Item(place) => {
                                    taken.lock().unwrap().push(place);
                                    queue.finish(place, Outcome::Settled).unwrap();
                                }
                                Take::Later => std::thread::sleep(Duration::from_millis(5)),
                                Take::Empty => break,
                            }
                        }
                    });
                }
            });
            let mut taken = taken.into_inner().unwrap();
            taken.sort_unstable();
            assert_eq!(taken, (0..300).collect::<Vec<_>>(), "{url}");
        }
    }
}
