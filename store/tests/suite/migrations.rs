//! Databases of earlier builds, migrated with what is in them.

use anyhow::{Context as _, Result};
use helmr_domain::stream::Direction;
use helmr_domain::{
    DeploymentId, EnvironmentId, Moment, OrganizationId, ProjectId, RecordId, RunId, Scope,
    SessionId, TaskRowId, Timestamp, TokenId, WorkspaceId,
};
use helmr_store::idempotency::Kept;
use helmr_store::streams::{self, ListTranscript, NewRecord, SendInput};
use helmr_store::{Store, check, sessions, tokens};
use helmr_testkit::postgres::Postgres;
use serde_json::json;

/// The last migration before streams belonged to tasks and records had positions.
const BEFORE_CONVERSATION: usize = 2;

/// What an earlier build left: two tasks that share their deployment's streams, two sessions with records that came in
/// another order than that of their streams, and tags that only the rows themselves had.
struct Old {
    scope: Scope,
    tasks: [TaskRowId; 2],
    talked: SessionId,
    silent: SessionId,
    token: TokenId,
    records: [RecordId; 4],
    fill: String,
}

fn stamp(number: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + number * 1_000)
}

fn old() -> Old {
    let at = stamp(0);
    let scope = Scope {
        organization: OrganizationId::new(at, [1; 10]),
        project: ProjectId::new(at, [2; 10]),
        environment: EnvironmentId::new(at, [3; 10]),
    };
    let deployment = DeploymentId::new(at, [4; 10]);
    let tasks = [TaskRowId::new(at, [5; 10]), TaskRowId::new(at, [6; 10])];
    let workspace = WorkspaceId::new(at, [7; 10]);
    let (talked, silent) = (SessionId::new(at, [8; 10]), SessionId::new(at, [9; 10]));
    let token = TokenId::new(at, [10; 10]);
    // Two of one instant: their ids say which came first.
    let records = [1, 2, 2, 3].map(|number: u8| stamp(i64::from(number)));
    let records = [
        RecordId::new(records[0], [1; 10]),
        RecordId::new(records[1], [1; 10]),
        RecordId::new(records[2], [2; 10]),
        RecordId::new(records[3], [1; 10]),
    ];
    let of = format!(
        "'{}', '{}', '{}'",
        scope.organization, scope.project, scope.environment
    );
    let mut fill = format!(
        "INSERT INTO organizations (id, name, slug, created_at) VALUES ('{org}', 'Old', 'old', 1);
        INSERT INTO projects (id, organization_id, name, slug, created_at)
            VALUES ('{project}', '{org}', 'Main', 'main', 1);
        INSERT INTO environments (id, organization_id, project_id, name, slug, created_at)
            VALUES ('{environment}', '{org}', '{project}', 'Production', 'production', 1);
        INSERT INTO deployments (
                id, organization_id, project_id, environment_id, version, status, content_hash,
                bundle_sha256, bundle_manifest, bundle_size_bytes, worker_protocol, provenance,
                created_at, deployed_at
            )
            VALUES ('{deployment}', {of}, '20260101.1', 'deployed', 'content', 'sum', 'bundle', 1,
                1, '{{}}', 1, 1);
        INSERT INTO deployment_sandboxes (
                deployment_id, organization_id, project_id, environment_id, name, fingerprint,
                spec, definition
            )
            VALUES ('{deployment}', {of}, 'default', 'fingerprint', '{{}}', '{{}}');
        INSERT INTO deployment_streams (
                deployment_id, organization_id, project_id, environment_id, direction, name, schema
            )
            VALUES ('{deployment}', {of}, 'input', 'messages', '{{\"type\":\"string\"}}'),
                ('{deployment}', {of}, 'output', 'events', '{{}}');
        INSERT INTO workspaces (
                id, organization_id, project_id, environment_id, sandbox, fingerprint, mount_path,
                state, metadata, tags, last_activity_at, size_bytes, created_at, lease_state,
                lease_epoch, revision
            )
            VALUES ('{workspace}', {of}, 'default', 'fingerprint', '/workspace', 'active', '{{}}',
                '[]', 1, 0, 1, 'released', 0, 0);
        INSERT INTO tokens (
                id, organization_id, project_id, environment_id, status, timeout_at, tags, metadata,
                callback_hash, created_at
            )
            VALUES ('{token}', {of}, 'pending', 2000000000000000, '[\"a\",\"it''s\"]', '{{}}',
                {hash}, 1);
        ",
        org = scope.organization,
        project = scope.project,
        environment = scope.environment,
        hash = "HASH",
    );
    for (task, name) in tasks.iter().zip(["one", "other"]) {
        fill.push_str(&format!(
            "INSERT INTO deployment_tasks (
                    id, deployment_id, organization_id, project_id, environment_id, task_id,
                    sandbox, module, export, max_duration_us, retry, secrets, definition
                )
                VALUES ('{task}', '{deployment}', {of}, '{name}', 'default', 'm', 'e', 1, '{retry}',
                    '[]', '{{}}');
            ",
            retry = json!({
                "max_attempts": 1,
                "backoff": {"min": 1, "max": 1, "factor_percent": 200, "jitter": false}
            }),
        ));
    }
    for (session, task, tags) in [
        (talked, tasks[0], r#"["nightly","nightly","b"]"#),
        (silent, tasks[1], "[]"),
    ] {
        fill.push_str(&format!(
            "INSERT INTO sessions (
                    id, organization_id, project_id, environment_id, task_id, task_row_id,
                    deployment_id, workspace_id, workspace_given, status, runs, run_options,
                    metadata, tags, created_at
                )
                VALUES ('{session}', {of}, 'one', '{task}', '{deployment}', '{workspace}', 0,
                    'open', 0, '{{\"max_duration\":null,\"ttl\":null}}', '{{}}', '{tags}', 1);
            ",
        ));
    }
    for (direction, name, last) in [("input", "messages", 2), ("output", "events", 2)] {
        fill.push_str(&format!(
            "INSERT INTO session_streams (
                    session_id, organization_id, project_id, environment_id, direction, name,
                    last_sequence, lowest_unread, consumed_above
                )
                VALUES ('{talked}', {of}, '{direction}', '{name}', {last}, 1, '[]');
            ",
        ));
    }
    let came = [
        ("input", "messages", 1, 1),
        ("output", "events", 1, 2),
        ("input", "messages", 2, 2),
        ("output", "events", 2, 3),
    ];
    for (id, (direction, stream, sequence, at)) in records.iter().zip(came) {
        fill.push_str(&format!(
            "INSERT INTO stream_records (
                    session_id, direction, stream, sequence, id, organization_id, project_id,
                    environment_id, data, content_type, created_at
                )
                VALUES ('{talked}', '{direction}', '{stream}', {sequence}, '{id}', {of},
                    '\"{direction} {sequence}\"', 'application/json', {at});
            ",
            at = stamp(at).as_micros(),
        ));
    }
    Old {
        scope,
        tasks,
        talked,
        silent,
        token,
        records,
        fill,
    }
}

async fn check_conversation(store: &Store, old: &Old) -> Result<()> {
    let scope = old.scope;
    let all = ListTranscript {
        session: old.talked,
        direction: None,
        stream: None,
        correlation_id: None,
        after: 0,
        limit: 10,
    };
    let page = streams::transcript(store, scope, all.clone()).await?;
    let told: Vec<_> = page
        .items
        .iter()
        .map(|record| (record.position, record.id))
        .collect();
    let expected: Vec<_> = (1..).zip(old.records).collect();
    assert_eq!(told, expected, "records in the order in which they came");

    // Positions and numbers go on where they ended.
    let run = RunId::new(stamp(9), [1; 10]);
    for (session, position, sequence) in [(old.talked, 5, 3), (old.silent, 1, 1)] {
        let input = SendInput {
            at: Moment::new(stamp(10 + position), [11; 10]),
            scope,
            session,
            record: NewRecord {
                stream: "messages".parse()?,
                data: json!(run),
                correlation_id: None,
                content_type: "application/json".to_owned(),
                idempotency_key: None,
            },
            public_token: None,
            idempotency: None,
        };
        let Kept::Fresh(sent) = streams::send_input(store, input).await? else {
            anyhow::bail!("nobody sent it before");
        };
        assert_eq!(
            (i64::try_from(sent.record.position)?, sent.record.sequence),
            (position, sequence),
            "of {session}"
        );
    }

    // Each task declares what its deployment declared.
    for (session, task) in [(old.talked, old.tasks[0]), (old.silent, old.tasks[1])] {
        let declared = |direction, name: &str| {
            let name = name.parse();
            async move {
                streams::declared(store, scope, session, direction, &name?)
                    .await
                    .map_err(anyhow::Error::from)
            }
        };
        let messages = declared(Direction::Input, "messages")
            .await?
            .context("messages are declared")?;
        assert_eq!(
            (messages.task, messages.schema),
            (task, json!({"type": "string"}))
        );
        assert!(declared(Direction::Output, "events").await?.is_some());
        assert!(declared(Direction::Output, "messages").await?.is_none());
    }

    // Tags are looked up by tables of their own, each once.
    for (tag, expected) in [("nightly", 1), ("b", 1), ("a", 0)] {
        let filter = sessions::Filter {
            tag: Some(tag.to_owned()),
            ..sessions::Filter::default()
        };
        let found = sessions::list(store, scope, filter, None, 10).await?;
        assert_eq!(found.items.len(), expected, "sessions with {tag}");
    }
    for (tag, expected) in [("a", 1), ("it's", 1), ("nightly", 0)] {
        let filter = tokens::Filter {
            tag: Some(tag.to_owned()),
            ..tokens::Filter::default()
        };
        let found = tokens::list(store, scope, filter, None, 10).await?;
        let ids: Vec<_> = found.items.iter().map(|token| token.id).collect();
        assert_eq!(ids, vec![old.token; expected], "tokens with {tag}");
    }
    Ok(())
}

#[tokio::test]
async fn an_old_conversation_is_there_after_the_migration_on_sqlite() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("helmr.db");
    let old = old();
    check::old_sqlite(
        &path,
        BEFORE_CONVERSATION,
        &old.fill.replace("HASH", "x'01'"),
    )?;
    check_conversation(&Store::open_sqlite(&path)?, &old).await
}

#[tokio::test]
async fn an_old_conversation_is_there_after_the_migration_on_postgresql() -> Result<()> {
    let url = Postgres::shared().await?.empty_database().await?;
    let old = old();
    let fill = old.fill.replace("HASH", r"'\x01'::bytea");
    check::old_postgres(&url, BEFORE_CONVERSATION, &fill).await?;
    check_conversation(&Store::connect_postgres(&url).await?, &old).await
}
