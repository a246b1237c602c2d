//! The first start: what an installation begins with.

use helmr_domain::{
    ApiKeyId, Duration, EnvironmentId, GroupId, Moment, OrganizationId, ProjectId, Scope, Timestamp,
};

use crate::db::{Json, Row, Statement, Tx, params, sql};
use crate::lease::scope;
use crate::{Error, Result, Store};

/// What the first start is given. Keys come wrapped, credentials hashed.
#[derive(Debug, Clone)]
pub struct FirstStart {
    pub at: Moment,
    pub organization_name: String,
    /// Of the local API key, which may do everything in `Main` / `Production`.
    pub api_key_hash: [u8; 32],
    pub api_key_name: String,
    pub api_key_scopes: Vec<String>,
    pub enrolment_hash: [u8; 32],
    /// The installation's key, for base images and runtimes, wrapped by the root key.
    pub wrapped_installation_key: Vec<u8>,
    pub wrapped_environment_key: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    pub scope: Scope,
    pub group_id: GroupId,
    pub wrapped_installation_key: Vec<u8>,
    pub created_at: Timestamp,
    /// Whether this very call made it.
    pub created: bool,
}

sql! {
    FIND = "SELECT organization_id, project_id, environment_id, group_id, wrapped_key, created_at
        FROM installation
        WHERE id = 1";

    INSERT_ORGANIZATION = "INSERT INTO organizations (id, name, slug, created_at)
        VALUES ($1, $2, 'main', $3)";

    INSERT_PROJECT = "INSERT INTO projects (id, organization_id, name, slug, created_at)
        VALUES ($1, $2, 'Main', 'main', $3)";

    INSERT_ENVIRONMENT = "INSERT INTO environments (
            id, organization_id, project_id, name, slug, created_at
        )
        VALUES ($1, $2, $3, 'Production', 'production', $4)";

    INSERT_ENVIRONMENT_KEY = "INSERT INTO environment_keys (
            environment_id, organization_id, project_id, version, wrapped_key, created_at
        )
        VALUES ($1, $2, $3, 1, $4, $5)";

    INSERT_GROUP = "INSERT INTO worker_groups (
            id, organization_id, name, enrolment_hash, created_at
        )
        VALUES ($1, $2, 'default', $3, $4)";

    INSERT_KEY = "INSERT INTO api_keys (
            id, organization_id, project_id, environment_id, name, hash, scopes, created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

    INSERT = "INSERT INTO installation (
            id, organization_id, project_id, environment_id, group_id, wrapped_key, created_at
        )
        VALUES (1, $1, $2, $3, $4, $5, $6)";

    FIND_ENVIRONMENT = "SELECT e.organization_id, e.project_id, e.id, e.name, e.slug, p.slug,
            k.wrapped_key, e.hot_window_us, p.name, o.name, o.slug
        FROM environments e
        JOIN projects p ON p.id = e.project_id
        JOIN organizations o ON o.id = e.organization_id
        JOIN environment_keys k ON k.environment_id = e.id
        WHERE e.id = $1
        ORDER BY k.version DESC
        LIMIT 1";

    FIND_ENVIRONMENT_BY_NAME = "SELECT e.organization_id, e.project_id, e.id, e.name, e.slug,
            p.slug, k.wrapped_key, e.hot_window_us, p.name, o.name, o.slug
        FROM environments e
        JOIN projects p ON p.id = e.project_id
        JOIN organizations o ON o.id = e.organization_id
        JOIN environment_keys k ON k.environment_id = e.id
        WHERE e.organization_id = $1
            AND (p.id = $2 OR p.slug = $2)
            AND (e.id = $3 OR e.slug = $3)
        ORDER BY k.version DESC
        LIMIT 1";

    SET_HOT_WINDOW = "UPDATE environments
        SET hot_window_us = $2
        WHERE id = $1";

    SET_PTY_IDLE_AFTER = "UPDATE environments
        SET pty_idle_us = $2
        WHERE id = $1";
}

/// Makes organization, project `Main`, environment `Production`, group `default` and a local API key, unless they are
/// there: then nothing of the input is used.
///
/// # Errors
/// If the database fails.
pub async fn first_start(store: &Store, input: FirstStart) -> Result<Installation> {
    store
        .write(input, |tx, input| Box::pin(first_start_in(tx, input)))
        .await
}

async fn first_start_in(tx: &mut Tx, input: &FirstStart) -> Result<Installation> {
    if let Some(found) = find(tx).await? {
        return Ok(found);
    }
    let made = Installation {
        scope: fresh_scope(input.at),
        group_id: input.at.ids().make(GroupId::new),
        wrapped_installation_key: input.wrapped_installation_key.clone(),
        created_at: input.at.now,
        created: true,
    };
    let now = made.created_at;
    let of = made.scope;
    let bound = params![of.organization, input.organization_name, now];
    tx.run(&INSERT_ORGANIZATION, bound).await?;
    let bound = params![of.project, of.organization, now];
    tx.run(&INSERT_PROJECT, bound).await?;
    let bound = params![of.environment, of.organization, of.project, now];
    tx.run(&INSERT_ENVIRONMENT, bound).await?;
    let bound = params![
        of.environment,
        of.organization,
        of.project,
        input.wrapped_environment_key,
        now
    ];
    tx.run(&INSERT_ENVIRONMENT_KEY, bound).await?;
    let bound = params![made.group_id, of.organization, input.enrolment_hash, now];
    tx.run(&INSERT_GROUP, bound).await?;
    let bound = params![
        input.at.ids().make(ApiKeyId::new),
        of.organization,
        of.project,
        of.environment,
        input.api_key_name,
        input.api_key_hash,
        Json(&input.api_key_scopes),
        now
    ];
    tx.run(&INSERT_KEY, bound).await?;
    let bound = params![
        of.organization,
        of.project,
        of.environment,
        made.group_id,
        made.wrapped_installation_key,
        now
    ];
    tx.run(&INSERT, bound).await?;
    Ok(made)
}

fn fresh_scope(at: Moment) -> Scope {
    let ids = at.ids();
    Scope {
        organization: ids.make(OrganizationId::new),
        project: ids.make(ProjectId::new),
        environment: ids.make(EnvironmentId::new),
    }
}

async fn find(tx: &mut Tx) -> Result<Option<Installation>> {
    let Some(mut row) = tx.find(&FIND, &[]).await? else {
        return Ok(None);
    };
    Ok(Some(Installation {
        scope: scope(&mut row)?,
        group_id: row.take("group_id")?,
        wrapped_installation_key: row.take("wrapped_key")?,
        created_at: row.take("created_at")?,
        created: false,
    }))
}

/// What the first start made.
///
/// # Errors
/// If the database fails.
pub async fn installation(store: &Store) -> Result<Option<Installation>> {
    store.read((), |tx, ()| Box::pin(find(tx))).await
}

/// An environment with what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    pub scope: Scope,
    pub name: String,
    pub slug: String,
    pub project_slug: String,
    /// The newest one.
    pub wrapped_key: Vec<u8>,
    pub hot_window: Option<Duration>,
    pub project_name: String,
    pub organization_name: String,
    pub organization_slug: String,
}

fn read_environment(mut row: Row) -> Result<Environment> {
    let scope = scope(&mut row)?;
    Ok(Environment {
        scope,
        name: row.take("name")?,
        slug: row.take("slug")?,
        project_slug: row.take("project slug")?,
        wrapped_key: row.take("wrapped_key")?,
        hot_window: row.take("hot_window_us")?,
        project_name: row.take("project name")?,
        organization_name: row.take("organization name")?,
        organization_slug: row.take("organization slug")?,
    })
}

/// Finds an environment by its id.
///
/// # Errors
/// If the database fails.
pub async fn environment(store: &Store, id: EnvironmentId) -> Result<Option<Environment>> {
    store
        .read(id, |tx, id| {
            Box::pin(async move {
                let found = tx.find(&FIND_ENVIRONMENT, params![*id]).await?;
                found.map(read_environment).transpose()
            })
        })
        .await
}

/// Finds an environment by ids or slugs of project and environment.
///
/// # Errors
/// If the database fails.
pub async fn find_environment(
    store: &Store,
    organization: OrganizationId,
    project: &str,
    environment: &str,
) -> Result<Option<Environment>> {
    let input = (organization, project.to_owned(), environment.to_owned());
    store
        .read(input, |tx, (organization, project, environment)| {
            Box::pin(async move {
                let bound = params![*organization, project, environment];
                let found = tx.find(&FIND_ENVIRONMENT_BY_NAME, bound).await?;
                found.map(read_environment).transpose()
            })
        })
        .await
}

/// Sets how long waits of an environment stay hot, unless a wait says otherwise. `None`: the default.
///
/// # Errors
/// `NotFound`.
pub async fn set_hot_window(
    store: &Store,
    id: EnvironmentId,
    hot_window: Option<Duration>,
) -> Result<()> {
    set_span(store, &SET_HOT_WINDOW, id, hot_window).await
}

/// Sets after how long of nothing typed or printed an environment's PTYs are idle; `None`: the product's own.
///
/// # Errors
/// `NotFound`.
pub async fn set_pty_idle_after(
    store: &Store,
    id: EnvironmentId,
    idle_after: Option<Duration>,
) -> Result<()> {
    set_span(store, &SET_PTY_IDLE_AFTER, id, idle_after).await
}

async fn set_span(
    store: &Store,
    statement: &'static Statement,
    id: EnvironmentId,
    span: Option<Duration>,
) -> Result<()> {
    store
        .write((statement, id, span), |tx, input| {
            let (statement, id, span) = *input;
            Box::pin(async move {
                match tx.run(statement, params![id, span]).await? {
                    0 => Err(Error::NotFound("environment")),
                    _ => Ok(()),
                }
            })
        })
        .await
}
