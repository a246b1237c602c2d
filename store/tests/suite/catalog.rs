//! What is deployed and uploaded.

use anyhow::Context;
use helmr_domain::stream::Direction;
use helmr_store::{Error, blobs, deployments, images, keys, setup, streams, tasks, worker};
use serde_json::json;

use crate::on_both;
use crate::world::{World, stream, task};

/// A deployment of one task, `same`.
fn create(world: &World) -> anyhow::Result<deployments::Create> {
    Ok(deployments::Create {
        at: world.at(),
        scope: world.scope,
        content_hash: "one".to_owned(),
        bundle_sha256: String::new(),
        bundle_manifest: String::new(),
        bundle_size_bytes: 0,
        worker_protocol: 1,
        provenance: json!({}),
        tasks: vec![task("same")],
        sandboxes: vec![deployments::Sandbox {
            name: "default".to_owned(),
            fingerprint: String::new(),
            spec: crate::world::spec(1),
            definition: json!({}),
        }],
        streams: vec![stream("same", Direction::Input, "messages")?],
        promote: true,
        idempotency: None,
    })
}

on_both! {
    async fn the_first_start_happens_once(world) {
        let mut input = crate::world::first_start();
        input.at = world.at();
        input.api_key_hash = [99; 32];
        let again = setup::first_start(&world.store, input).await?;
        assert!(!again.created && again.scope == world.scope);
        assert!(keys::find_api_key(&world.store, [99; 32]).await?.is_none());
        let key = keys::find_api_key(&world.store, [1; 32]).await?.context("the local key")?;
        assert_eq!(key.bound, Some((world.scope.project, world.scope.environment)));
        keys::touch(&world.store, key.id, world.at()).await?;
        let key = keys::find_api_key(&world.store, [1; 32]).await?.context("the local key")?;
        assert_eq!(key.last_used_at, Some(world.now()));
        let input = keys::Create {
            at: world.at(),
            scope: world.scope,
            name: "ci".to_owned(),
            hash: [5; 32],
            scopes: vec!["runs:read".to_owned()],
            expires_at: None,
        };
        let made = keys::create(&world.store, input).await?;
        assert_eq!(keys::find_api_key(&world.store, [5; 32]).await?, Some(made));
    }

    async fn an_environment_is_found_by_slugs_and_ids(world) {
        let organization = world.scope.organization;
        let by_slug = setup::find_environment(&world.store, organization, "main", "production").await?;
        let by_slug = by_slug.context("found")?;
        assert_eq!((by_slug.scope, by_slug.wrapped_key.as_slice()), (world.scope, [4].as_slice()));
        let (project, environment) = (world.scope.project.to_string(), world.scope.environment.to_string());
        let by_id = setup::find_environment(&world.store, organization, &project, &environment).await?;
        assert_eq!(by_id.as_ref(), Some(&by_slug));
        assert_eq!(setup::environment(&world.store, world.scope.environment).await?, Some(by_slug));
        assert!(setup::find_environment(&world.store, organization, "main", "none").await?.is_none());
    }

    async fn every_deploy_is_a_version_of_its_own_and_one_is_promoted(world) {
        let first = deployments::current(&world.store, world.scope).await?.context("promoted")?;
        let second = world.deploy("first").await?;
        assert_eq!((first.version.as_str(), second.version.as_str()), ("20270115.1", "20270115.2"));
        let first = deployments::get(&world.store, world.scope, first.id).await?.context("there")?;
        assert!(!first.promoted && second.promoted);
        let back = deployments::promote(&world.store, world.scope, first.id, world.at()).await?;
        assert!(back.promoted);
        let page = deployments::list(&world.store, world.scope, None, 1).await?;
        assert_eq!((page.items[0].id, page.next), (second.id, Some(second.id)));
        let events = helmr_store::events::list(
            &world.store, world.scope, helmr_store::Subject::Deployment(first.id), 0, 10,
        ).await?;
        let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(
            kinds,
            [
                "deployment.queued", "deployment.building", "deployment.deployed",
                "deployment.promoted", "deployment.promoted",
            ]
        );
    }

    async fn the_promoted_deployment_has_the_tasks(world) {
        let page = tasks::list(&world.store, world.scope, None, 3).await?;
        let names: Vec<_> = page.items.iter().map(|task| task.task_id.as_str().to_owned()).collect();
        assert_eq!(names, ["large", "plain", "retried"]);
        let page = tasks::list(&world.store, world.scope, page.next, 10).await?;
        assert_eq!((page.items.len(), page.next), (3, None));
        let plain = tasks::get(&world.store, world.scope, "plain").await?.context("deployed")?;
        assert_eq!(tasks::get_row(&world.store, world.scope, plain.id).await?.as_ref(), Some(&plain));
        assert!(tasks::get(&world.store, world.scope, "unknown").await?.is_none());
        let deployment = plain.deployment_id;
        assert_eq!(tasks::of_deployment(&world.store, world.scope, deployment).await?.len(), 6);
        let sandboxes = deployments::sandboxes(&world.store, world.scope, deployment).await?;
        assert_eq!(sandboxes.len(), 2);
        let (first, last) = ("plain".parse()?, "retried".parse()?);
        let streams =
            deployments::streams(&world.store, world.scope, deployment, &first, &last).await?;
        let inputs = streams.iter().filter(|stream| stream.direction == Direction::Input);
        assert_eq!(
            inputs.map(|stream| (stream.task_id.as_str(), stream.name.as_str())).collect::<Vec<_>>(),
            [("plain", "messages"), ("retried", "messages"), ("retried", "orders")]
        );
    }

    async fn a_stream_belongs_to_the_tasks_that_declare_it(world) {
        let (plain, retried) = (world.start("plain").await?, world.start("retried").await?);
        let declared = async |session: &helmr_store::sessions::Session, name: &str| {
            let name = name.parse().expect("a name");
            streams::declared(&world.store, world.scope, session.id, Direction::Input, &name).await
        };
        let known = declared(&plain.session, "messages").await?.context("declared")?;
        assert_eq!(known.task, plain.session.task_row_id);
        assert_eq!(known.schema, json!({"title": "messages of plain"}));
        let known = declared(&retried.session, "messages").await?.context("declared")?;
        assert_eq!(known.schema, json!({"title": "messages of retried"}));
        assert!(declared(&retried.session, "orders").await?.is_some());
        assert!(declared(&plain.session, "orders").await?.is_none());
        for (session, names) in [(&plain, vec!["messages", "events"]), (&retried, vec!["messages", "orders", "events"])] {
            let listed = streams::list(&world.store, world.scope, session.session.id, None, 10).await?;
            let found: Vec<_> = listed.items.iter().map(|stream| stream.name.as_str().to_owned()).collect();
            assert_eq!(found, names);
        }
        let first = streams::list(&world.store, world.scope, retried.session.id, None, 2).await?;
        let rest = streams::list(&world.store, world.scope, retried.session.id, first.next, 2).await?;
        assert_eq!(rest.items.iter().map(|stream| stream.name.as_str()).collect::<Vec<_>>(), ["events"]);
        assert!(rest.next.is_none());
    }

    async fn a_stream_of_a_task_that_is_not_deployed_is_refused(world) {
        let mut input = create(&world)?;
        input.streams = vec![stream("other", Direction::Input, "messages")?];
        let refused = deployments::create(&world.store, input).await;
        assert!(matches!(refused, Err(Error::NotFound("task"))), "{:?}", refused.err());
        let mut input = create(&world)?;
        let twice = stream("same", Direction::Input, "messages")?;
        input.streams = vec![twice.clone(), twice];
        let refused = deployments::create(&world.store, input).await;
        assert!(matches!(refused, Err(Error::Conflict("stream"))), "{:?}", refused.err());
    }

    async fn two_tasks_of_one_name_are_a_conflict(world) {
        let mut input = create(&world)?;
        input.tasks.push(task("same"));
        let refused = deployments::create(&world.store, input).await;
        assert!(matches!(refused, Err(Error::Conflict("task"))), "{:?}", refused.err());
        let current = deployments::current(&world.store, world.scope).await?.context("promoted")?;
        assert_eq!(current.content_hash, "first");
    }

    async fn an_image_has_names_that_move(world) {
        let put = |name: &str, digest: &str| images::Put {
            at: world.at(),
            organization: world.scope.organization,
            name: name.to_owned(),
            digest: digest.to_owned(),
            manifest: "m".to_owned(),
            size_bytes: 1,
            config: json!({"user": ""}),
        };
        let one = images::put(&world.store, put("node:24", "sha256:a")).await?;
        let same = images::put(&world.store, put("node:latest", "sha256:a")).await?;
        assert_eq!(same.id, one.id);
        assert_eq!(same.names, ["node:24", "node:latest"]);
        let two = images::put(&world.store, put("node:latest", "sha256:b")).await?;
        let organization = world.scope.organization;
        let latest = images::find_by_name(&world.store, organization, "node:latest").await?;
        assert_eq!(latest.context("named")?.id, two.id);
        let by_digest = images::find_by_digest(&world.store, organization, "sha256:a").await?;
        assert_eq!(by_digest.context("kept")?.names, ["node:24"]);
        let all = images::list(&world.store, organization, None, 10).await?;
        assert_eq!(all.items.iter().map(|image| image.id).collect::<Vec<_>>(), [two.id, one.id]);
    }

    async fn the_first_blob_and_the_first_seed_are_kept(world) {
        let put = |keyed, manifest: &str| blobs::Put {
            at: world.at(),
            scope: world.scope,
            keyed,
            sha256: "ff".repeat(32),
            manifest: manifest.to_owned(),
            size_bytes: 1,
        };
        for manifest in ["first", "second"] {
            let kept = blobs::put(&world.store, put(blobs::Keyed::Environment, manifest)).await?;
            assert_eq!(kept.manifest, "first");
        }
        let sha256 = "ff".repeat(32);
        let other = blobs::find(&world.store, world.scope, blobs::Keyed::Installation, &sha256).await?;
        assert!(other.is_none(), "another key, other bytes");
        let live = world.live("plain").await?;
        for manifest in ["first", "second"] {
            let seed = worker::PutSeed {
                at: world.at(),
                fence: live.fence.lease,
                image_digest: "sha256:image".to_owned(),
                mount_path: "/workspace".to_owned(),
                manifest: manifest.to_owned(),
                size_bytes: 1,
            };
            assert_eq!(worker::put_seed(&world.store, seed).await?, "first");
        }
        let found = worker::find_seed(&world.store, live.fence.lease, "sha256:image", "/workspace").await?;
        assert_eq!(found.as_deref(), Some("first"));
    }

    async fn a_run_begins_with_what_its_task_and_session_say(world) {
        let live = world.live("plain").await?;
        let input = worker::run_input(&world.store, live.fence).await?;
        assert_eq!((input.task.module.as_str(), input.task.export.as_str()), ("tasks/all.mjs", "plain"));
        assert_eq!((input.run.id, input.session.id), (live.run, live.session));
        assert_eq!(input.mount_path, "/workspace");
        for call_no in [1, 1] {
            let answer = worker::RecordAnswer {
                at: world.at(),
                fence: live.fence,
                call_no,
                answer: json!(world.now().as_micros()),
            };
            worker::record_answer(&world.store, answer).await?;
        }
        let kept = worker::answered(&world.store, live.fence, 1).await?.context("kept")?;
        assert!(kept.answer.as_i64() < Some(world.now().as_micros()));
        assert!(worker::answered(&world.store, live.fence, 2).await?.is_none());
    }
}
