//! A PostgreSQL server of the test process, and a migrated database for each test.
//!
//! The server runs as an unprivileged user (it refuses root), listens on a Unix socket in a temporary directory and is
//! watched by a shell that waits on a pipe from this process: when the process goes, however it goes, the shell stops
//! the server and removes the directory.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use helmr_store::Store;
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

/// Where Debian keeps the programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const USER: &str = "helmr";
const TEMPLATE: &str = "helmr_template";
const DEADLINE: Duration = Duration::from_secs(60);

/// Stops the server when its input ends.
const WATCH: &str = r#"
"$1" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c synchronous_commit=off \
    -c full_page_writes=off -c max_connections=300 -c log_min_messages=fatal >"$2/log" 2>&1 </dev/null &
server=$!
read -r _
kill -QUIT "$server"
wait "$server"
rm -rf "$2"
"#;

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    directory: PathBuf,
    watch: Child,
    /// Closing it stops the server.
    input: Option<ChildStdin>,
    databases: AtomicU32,
}

static SHARED: OnceCell<Postgres> = OnceCell::const_new();

impl Postgres {
    /// The server of this process, started on first use.
    ///
    /// # Errors
    /// Says what is missing and how to get it.
    pub async fn shared() -> Result<&'static Self> {
        SHARED.get_or_try_init(Self::start).await
    }

    /// A server of its own, stopped when it is dropped.
    ///
    /// # Errors
    /// Says what is missing and how to get it.
    pub async fn start() -> Result<Self> {
        let programs = Path::new(PROGRAMS);
        ensure!(
            programs.join("initdb").exists(),
            "PostgreSQL 15 is not installed: run script/setup"
        );
        let identity = unprivileged()?;
        // Its path must fit into the address of a Unix socket.
        let directory = tempfile::Builder::new()
            .prefix("helmr-pg-")
            .tempdir_in("/tmp")
            .context("make a directory for PostgreSQL")?
            .keep();
        if let Some((user, group)) = identity {
            chown(&directory, Some(user), Some(group)).context("give the directory away")?;
        }
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755))
            .context("open the directory")?;
        let made = as_user(&mut Command::new(programs.join("initdb")), identity)
            .arg("-D")
            .arg(directory.join("data"))
            .args([
                "-U",
                USER,
                "-A",
                "trust",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
            ])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .output()
            .context("run initdb")?;
        if !made.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        let mut watch = as_user(&mut Command::new("/bin/sh"), identity)
            .args(["-c", WATCH, "watch-postgres"])
            .arg(programs.join("postgres"))
            .arg(&directory)
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C at the terminal ends the test process; the pipe tells the shell.
            .process_group(0)
            .spawn()
            .context("start PostgreSQL")?;
        let input = watch.stdin.take().context("pipe to PostgreSQL's shell")?;
        let server = Self {
            directory,
            watch,
            input: Some(input),
            databases: AtomicU32::new(0),
        };
        server.make_template().await?;
        Ok(server)
    }

    /// A migrated database that nobody else uses: its URL.
    ///
    /// # Errors
    /// If the server is gone.
    pub async fn database(&self) -> Result<String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.admin(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
            .await?;
        Ok(self.url(&name))
    }

    /// An empty database: its URL.
    ///
    /// # Errors
    /// If the server is gone.
    pub async fn empty_database(&self) -> Result<String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("empty_{number}");
        self.admin(&format!("CREATE DATABASE {name}")).await?;
        Ok(self.url(&name))
    }

    fn url(&self, database: &str) -> String {
        format!(
            "host={} user={USER} dbname={database}",
            self.directory.display()
        )
    }

    /// Migrates the database that all others are copied from.
    async fn make_template(&self) -> Result<()> {
        let begin = Instant::now();
        while let Err(error) = self.admin("SELECT 1").await {
            if begin.elapsed() > DEADLINE {
                let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                return Err(error.context(format!("PostgreSQL did not start: {log}")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.admin(&format!("CREATE DATABASE {TEMPLATE}")).await?;
        let store = Store::connect_postgres(&self.url(TEMPLATE))
            .await
            .context("migrate the template")?;
        drop(store);
        // A database is copied only while nobody is connected to it.
        self.admin(&format!(
            "ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false"
        ))
        .await?;
        self.admin(&format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{TEMPLATE}'"
        ))
        .await
    }

    async fn admin(&self, command: &str) -> Result<()> {
        let (client, connection) = tokio_postgres::connect(&self.url("postgres"), NoTls)
            .await
            .context("connect to PostgreSQL")?;
        let driver = tokio::spawn(connection);
        let done = client
            .batch_execute(command)
            .await
            .with_context(|| format!("run {command}"));
        drop(client);
        driver.await.context("PostgreSQL connection")??;
        done
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.input.take());
        drop(self.watch.wait());
    }
}

/// Whom to run as: nobody else if this process is not root.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    let me = std::fs::metadata("/proc/self").context("find out who I am")?;
    if std::os::unix::fs::MetadataExt::uid(&me) != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    for name in ["postgres", "nobody"] {
        let line = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&name));
        if let Some([_, _, user, group, ..]) = line.as_deref() {
            return Ok(Some((user.parse()?, group.parse()?)));
        }
    }
    bail!("there is no unprivileged user to run PostgreSQL as");
}

fn as_user(command: &mut Command, identity: Option<(u32, u32)>) -> &mut Command {
    if let Some((user, group)) = identity {
        command.uid(user).gid(group);
    }
    command
}
