//! What can go wrong in the store, as far as a caller can tell it apart.

use helmr_domain::Refusal;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state of an object forbids it. Nothing has changed.
    #[error(transparent)]
    Refused(Refusal),
    /// A worker wrote with an epoch that is not its workspace's, or for an attempt that is over. Nothing has changed.
    #[error("the lease is not held any more")]
    Stale,
    /// Not there, or not in the caller's scope.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A name that must be unique is taken.
    #[error("the {0} is taken")]
    Conflict(&'static str),
    /// The database cannot be reached or is overloaded; the same call may work later.
    #[error("the database is unavailable")]
    Unavailable(#[source] DatabaseError),
    /// The database refused a statement that should have worked.
    #[error("the database failed")]
    Database(#[source] DatabaseError),
    /// A row holds what it never should.
    #[error("{object} holds an impossible {column}")]
    Corrupt {
        object: &'static str,
        column: &'static str,
    },
    /// A transaction's body panicked; it was rolled back.
    #[error("a transaction panicked")]
    Panicked,
    /// A transaction waited for something other than the database.
    #[error("a transaction waited for something other than the database")]
    Blocked,
    /// The database was made by a later Helmr, or its history was changed.
    #[error("migration {number} of the database is not the one of this build")]
    Migration { number: i64 },
}

/// What a database driver said. Never shown to a client.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("sqlite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("postgresql: {}", explain(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error("pool of postgresql connections: {0}")]
    Pool(String),
    #[error("the database was not done within {seconds} s")]
    Deadline { seconds: u64 },
    #[error("the database would be on a network filesystem")]
    NetworkFilesystem,
    #[error("the store is closed")]
    Closed,
    #[error("read the database's directory")]
    Io(#[from] std::io::Error),
}

fn explain(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => error.to_string(),
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::StaleLease => Self::Stale,
            other => Self::Refused(other),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                rusqlite::ErrorCode::DatabaseBusy
                | rusqlite::ErrorCode::DatabaseLocked
                | rusqlite::ErrorCode::DiskFull
                | rusqlite::ErrorCode::SystemIoFailure
                | rusqlite::ErrorCode::CannotOpen,
            ) => Self::Unavailable(error.into()),
            _ => Self::Database(error.into()),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        if error.is_closed() || error.as_db_error().is_none() {
            Self::Unavailable(error.into())
        } else {
            Self::Database(error.into())
        }
    }
}

impl Error {
    /// Whether PostgreSQL asks for the transaction to be tried again.
    pub(crate) fn is_serialization_failure(&self) -> bool {
        use tokio_postgres::error::SqlState;
        match self {
            Self::Database(DatabaseError::Postgres(error)) => error.code().is_some_and(|code| {
                *code == SqlState::T_R_SERIALIZATION_FAILURE
                    || *code == SqlState::T_R_DEADLOCK_DETECTED
            }),
            _ => false,
        }
    }

    /// Whether a unique constraint was violated.
    pub(crate) fn is_duplicate(&self) -> bool {
        match self {
            Self::Database(DatabaseError::Sqlite(error)) => {
                error.sqlite_error().is_some_and(|said| {
                    said.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
                        || said.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                })
            }
            Self::Database(DatabaseError::Postgres(error)) => {
                error.code() == Some(&tokio_postgres::error::SqlState::UNIQUE_VIOLATION)
            }
            _ => false,
        }
    }
}
