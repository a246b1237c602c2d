//! What only an isolation runtime can be asked.

use std::fs;
use std::time::Duration;

use helmr_guest_wire::Exit;
use helmr_machine::{Driver as _, Presence, Spec};

use crate::rig::gvisor::{Gvisor, processes_naming};
use crate::rig::{DEADLINE, Live, Rig as _, attempt, spec, start_run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heap_children_files_and_loopback_connections_survive_every_restore() {
    let rig = Gvisor::new().await;
    let mut live = Live::start(&rig, 1).await;
    live.run(rig.counter());
    live.line().await;
    let mut before = live.ask("deep").await;
    for number in 2..=4 {
        let parked = live.park(&rig).await;
        live = Live::restore(&rig, number, &parked).await;
        let after = live.ask("deep").await;
        assert_eq!(after["secret"], before["secret"], "the heap");
        assert_eq!(after["child"]["pid"], before["child"]["pid"], "the child");
        assert_eq!(after["child"]["said"], format!("child {}", number + 1));
        assert_eq!(after["loopback"], format!("echo:tcp {}", number + 1));
        assert_eq!(
            after["file"].as_u64().unwrap(),
            before["file"].as_u64().unwrap() + 5,
            "the open file"
        );
        before = after;
    }
    assert_eq!(
        fs::read_to_string(rig.path().join("tree/open.txt")).unwrap(),
        "line\n".repeat(4)
    );
    live.kill(&rig).await;
    rig.retire().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_lives_beside_its_original_with_files_of_its_own() {
    let rig = Gvisor::new().await;
    let mut live = Live::start(&rig, 1).await;
    live.run(rig.counter());
    live.line().await;
    let before = live.ask("deep").await;
    let image = rig.path().join("fork");
    let driver = rig.driver();
    driver.pause(&live.attempt, DEADLINE).await.unwrap();
    driver
        .checkpoint(&live.attempt, &image, DEADLINE)
        .await
        .unwrap();
    // The files as they are with the memory.
    let files = rig.path().join("copied");
    fs::create_dir_all(&files).unwrap();
    fs::copy(rig.path().join("tree/open.txt"), files.join("open.txt")).unwrap();
    driver.resume(&live.attempt, DEADLINE).await.unwrap();
    let copy = helmr_machine::Attempt {
        machine: "copy".to_owned(),
        number: 1,
    };
    let spec = Spec {
        workspace_dir: files.clone(),
        host_name: "copy".to_owned(),
        ..spec(&rig, &copy)
    };
    let listener = helmr_machine::host::Listener::bind(&spec.host_dir, &copy, None).unwrap();
    driver
        .restore(&copy, &spec, &image, DEADLINE)
        .await
        .unwrap();
    let mut copy = Live::greeted(copy, spec, &listener).await;
    copy.last = live.last;
    for (one, tree, times) in [
        (&mut copy, &files, 1),
        (&mut live, &rig.path().join("tree"), 2),
    ] {
        for _ in 0..times {
            let after = one.ask("deep").await;
            assert_eq!(after["secret"], before["secret"], "the heap");
            assert_eq!(after["child"]["pid"], before["child"]["pid"], "the child");
        }
        let written = fs::read_to_string(tree.join("open.txt")).unwrap();
        assert_eq!(
            written,
            "line\n".repeat(times + 1),
            "each writes to its own"
        );
    }
    copy.kill(&rig).await;
    assert_eq!(live.ask("still").await["line"], "still");
    live.kill(&rig).await;
    rig.retire().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_over_the_memory_limit_dies_alone() {
    let rig = Gvisor::new().await;
    let attempt = attempt(1);
    let mut spec = spec(&rig, &attempt);
    spec.limits.memory_bytes = 256 << 20;
    let mut live = Live::start_with(&rig, attempt, spec).await;
    live.run(start_run(&[
        "node",
        "-e",
        "const a=[];for(;;)a.push(Buffer.alloc(16<<20,1))",
    ]));
    let exit = live.until_exit().await;
    assert_eq!(
        exit,
        Exit {
            signal: Some(9),
            ..Exit::default()
        }
    );
    live.run(helmr_guest_wire::StartRun {
        attempt_number: 2,
        ..start_run(&["echo", "alive"])
    });
    live.until_printed("alive").await;
    assert_eq!(
        rig.driver().presence(&live.attempt).await.unwrap(),
        Presence::Running
    );
    live.kill(&rig).await;
    rig.retire().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confined_machine_has_its_share_of_the_processor() {
    const WATCHED: Duration = Duration::from_secs(2);
    let rig = Gvisor::new().await;
    let attempt = attempt(1);
    let mut spec = spec(&rig, &attempt);
    spec.limits.cpu_millis = 500;
    let limits = spec.limits;
    let mut live = Live::start_with(&rig, attempt, spec).await;
    live.shell("echo started; while :; do :; done");
    live.until_printed("started").await;
    let driver = rig.driver();
    driver.confine(&live.attempt, &limits).await.unwrap();
    let used = async || driver.stats(&live.attempt).await.unwrap().cpu_us;
    let before = used().await;
    tokio::time::sleep(WATCHED).await;
    let share = Duration::from_micros(used().await - before).as_secs_f64() / WATCHED.as_secs_f64();
    // The period that was under way, and a noisy host.
    assert!(share < 0.7, "{share}");
    live.kill(&rig).await;
    rig.retire().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_storm_meets_its_limit_before_and_after_a_restore() {
    let rig = Gvisor::new().await;
    let attempt = attempt(1);
    let mut spec = spec(&rig, &attempt);
    spec.limits.processes = 100;
    let mut live = Live::start_with(&rig, attempt, spec).await;
    let storm = "while read -r line <&3; do
        i=0; while [ $i -lt 200 ] && (sleep 1000 & exec true) 2>/dev/null; do i=$((i+1)); done
        if [ $i -lt 200 ]; then echo \"{\\\"refused_at\\\":$i}\" >&3; else echo '{\"refused_at\":null}' >&3; fi
        done";
    live.run(start_run(&["bash", "-c", storm]));
    let refused_at = live.line().await["refused_at"].as_u64().expect("a limit");
    assert!((50..100).contains(&refused_at), "at {refused_at}");
    let parked = live.park(&rig).await;
    let mut live = Live::restore(&rig, 2, &parked).await;
    let again = live.ask("again").await["refused_at"]
        .as_u64()
        .expect("a limit");
    assert!(again < 5, "{again} more were let in");
    live.signal(9);
    assert_eq!(
        live.until_exit().await,
        Exit {
            signal: Some(9),
            ..Exit::default()
        }
    );
    live.run(helmr_guest_wire::StartRun {
        attempt_number: 2,
        ..start_run(&["echo", "alive"])
    });
    live.until_printed("alive").await;
    live.kill(&rig).await;
    rig.retire().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sandbox_is_gone_and_what_it_left_can_be_removed() {
    let rig = Gvisor::new().await;
    let live = Live::start(&rig, 1).await;
    let sandbox = processes_naming(&rig.root())
        .into_iter()
        .find(|line| line.contains("runsc-sandbox"))
        .unwrap();
    let pid = sandbox.split(' ').next().unwrap();
    assert!(
        std::process::Command::new("kill")
            .args(["-KILL", pid])
            .status()
            .unwrap()
            .success()
    );
    let gone = async {
        while rig.driver().presence(&live.attempt).await.unwrap() != Presence::Gone {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, gone)
        .await
        .expect("the machine to be gone");
    assert_eq!(
        rig.driver().list().await.unwrap(),
        std::slice::from_ref(&live.attempt),
        "its remains are known"
    );
    live.kill(&rig).await;
    rig.retire().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_killed_at_any_moment_leave_nothing_that_kill_does_not_remove() {
    let rig = Gvisor::new().await;
    let live = Live::start(&rig, 1).await;
    let parked = live.park(&rig).await;
    for (number, after_ms) in (2..).zip([1, 5, 10, 20, 40, 60, 80, 100, 120]) {
        let attempt = attempt(number);
        let spec = spec(&rig, &attempt);
        let deadline = Duration::from_millis(after_ms);
        // Either it was done in time, or it was cut off at that moment.
        let _either = match number % 2 {
            0 => {
                rig.driver()
                    .restore(&attempt, &spec, &parked.image, deadline)
                    .await
            }
            _ => rig.driver().start(&attempt, &spec, deadline).await,
        };
        rig.driver().kill(&attempt, DEADLINE).await.unwrap();
        assert_eq!(
            rig.remains(&attempt),
            Vec::<String>::new(),
            "cut off after {after_ms} ms"
        );
    }
    // Nothing came up later either, and the image is as good as before.
    Live::restore(&rig, 20, &parked).await.kill(&rig).await;
    assert_eq!(processes_naming(rig.path()), Vec::<String>::new());
    rig.retire().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_sees_its_mounts_its_user_and_no_more() {
    let rig = Gvisor::new().await;
    let mut live = Live::start(&rig, 1).await;
    live.shell(
        "touch /workspace/made /tmp/made /etc/made && echo writable
         touch /run/helmr/host/x /run/helmr/bundles/x /run/helmr/guest/x /sys/x 2>&1 | grep -c -i read-only
         hostname; pwd; nproc; grep CapEff /proc/self/status
         cat /proc/net/dev | grep -c :; ls /run/helmr; cat /proc/1/comm; id -u",
    );
    assert_eq!(live.until_exit().await.code, Some(0), "{}", live.printed());
    let printed = live.printed();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(
        lines,
        [
            "writable",
            "4",
            "sandbox",
            "/workspace",
            "2",
            "CapEff:\t00000000a80c05fb",
            "1",
            "bundles",
            "guest",
            "host",
            "helmr-guest",
            "0"
        ],
    );
    assert!(rig.path().join("tree/made").exists());
    live.kill(&rig).await;
    rig.retire().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_image_is_refused_in_the_runtimes_own_words() {
    let rig = Gvisor::new().await;
    let attempt = attempt(1);
    let spec = Spec {
        root_image: rig.path().join("nowhere.erofs"),
        ..spec(&rig, &attempt)
    };
    let error = rig
        .driver()
        .start(&attempt, &spec, DEADLINE)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("nowhere.erofs"), "{error}");
    rig.driver().kill(&attempt, DEADLINE).await.unwrap();
    assert_eq!(rig.remains(&attempt), Vec::<String>::new());
    rig.retire().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_to_the_root_cost_disk_not_memory_and_are_parked_with_it() {
    let rig = Gvisor::new().await;
    let attempt = attempt(1);
    let mut spec = spec(&rig, &attempt);
    spec.limits.memory_bytes = 192 << 20;
    let mut live = Live::start_with(&rig, attempt, spec).await;
    live.run(start_run(&[
        "bash",
        "-c",
        "stat -c %a /tmp; echo kept > /etc/mark; rm /etc/hostname
         for file in /tmp/big /root/big; do head -c 150000000 /dev/urandom > $file && md5sum $file >> /sums; done
         echo written; read -r init <&3; read -r line <&3
         md5sum --quiet -c /sums && cat /etc/mark && ! test -e /etc/hostname && echo whole",
    ]));
    live.until_printed("written").await;
    assert!(
        live.printed().starts_with("1777\n"),
        "everybody may use /tmp: {}",
        live.printed()
    );
    let parked = live.park(&rig).await;
    let mut live = Live::restore(&rig, 2, &parked).await;
    live.say("go on");
    live.until_printed("kept\nwhole\n").await;
    assert_eq!(live.until_exit().await.code, Some(0));
    live.kill(&rig).await;
    rig.retire().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filling_memory_by_files_is_refused_before_the_machine_dies_of_it() {
    let rig = Gvisor::new().await;
    let mut live = Live::start(&rig, 1).await;
    // In one stream: two have no order between them.
    live.shell("exec 2>&1; for d in /dev/shm /tmp/.X11-unix; do head -c 1000000000 /dev/zero > $d/x; done; echo survived");
    live.until_printed("survived").await;
    assert_eq!(
        live.printed().matches("No space left").count(),
        2,
        "{}",
        live.printed()
    );
    live.kill(&rig).await;
    rig.retire().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_reaches_orphans_of_another_user() {
    let rig = Gvisor::new().await;
    let mut live = Live::start(&rig, 1).await;
    let start = start_run(&[
        "bash",
        "-c",
        "cd /tmp; (setsid sleep 1000 & ) ; sleep 0.1; echo started; sleep 1001",
    ]);
    live.run(helmr_guest_wire::StartRun {
        user: "1234:1234".to_owned(),
        ..start
    });
    live.until_printed("started").await;
    live.signal(9);
    live.until_exit().await;
    let count = start_run(&["bash", "-c", "grep -l sleep /proc/[0-9]*/comm | wc -l"]);
    live.run(helmr_guest_wire::StartRun {
        attempt_number: 2,
        ..count
    });
    live.until_exit().await;
    assert_eq!(live.printed(), "started\n0\n");
    live.kill(&rig).await;
    rig.retire().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_hears_no_worker_stands_still_until_one_speaks() {
    let rig = Gvisor::new().await;
    let mut live = Live::start(&rig, 1).await;
    live = live.take_over_with(Some(Duration::from_secs(1))).await;
    live.shell("echo started; n=0; while true; do n=$((n+1)); echo $n > /workspace/new; mv /workspace/new /workspace/n; sleep 0.01; done");
    live.until_printed("started").await;
    let path = rig.path().join("tree/n");
    let count = || fs::read_to_string(&path).unwrap_or_default();
    let silent = live.fall_silent();
    let stands_still = async {
        loop {
            let before = count();
            tokio::time::sleep(Duration::from_millis(500)).await;
            if !before.is_empty() && before == count() {
                return before;
            }
        }
    };
    let stood_at = tokio::time::timeout(DEADLINE, stands_still)
        .await
        .expect("it to stand still");
    let live = silent.take_over_with(None).await;
    let goes_on = async {
        while count() == stood_at {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, goes_on)
        .await
        .expect("it to go on");
    live.kill(&rig).await;
    rig.retire().await;
}
