//! The agent as a native process, against the worker's own end of the channel.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod rig;

use std::fs;
use std::time::Duration;

use helmr_guest_wire::{Body, Exit, KnownRun, OutputStream, RunPhase, StartRun, StopMachine};
use rig::{Rig, eventually, exec, input, line, pty, resize, shell, signal, typed};

fn exited(code: i32) -> Exit {
    Exit {
        code: Some(code),
        ..Exit::default()
    }
}

#[tokio::test]
async fn a_run_gets_its_init_line_first_and_its_end_comes_last() {
    let mut rig = Rig::start().await;
    rig.send(shell(
        "read -r a <&3; read -r b <&3; echo \"$a$b\" >&3; echo out; echo err >&2; exit 7",
    ));
    rig.send(line("second"));
    let told = rig.until_exit().await;
    assert_eq!(told.lines, [("initsecond".to_owned(), None)]);
    assert_eq!(told.text(OutputStream::Stdout), "out\n");
    assert_eq!(told.text(OutputStream::Stderr), "err\n");
    assert_eq!(told.exit, exited(7));
}

#[tokio::test]
async fn environment_and_directory_are_as_asked_and_stdin_is_empty() {
    let mut rig = Rig::start().await;
    let mut start = shell("cat; pwd; echo \"$GREETING\"");
    start.env = vec!["GREETING=a=b c".to_owned()];
    start.cwd = "/usr".to_owned();
    rig.send(start);
    assert_eq!(
        rig.until_exit().await.text(OutputStream::Stdout),
        "/usr\na=b c\n"
    );
}

#[tokio::test]
async fn an_exec_reads_its_input_to_the_end_each_byte_once() {
    let mut rig = Rig::start().await;
    rig.send(exec(
        "cat; echo end; for fd in /proc/$$/fd/*; do readlink $fd; done | grep socket",
    ));
    rig.send(input(0, "one ", false));
    // As after a worker's restart: some of it was there.
    rig.send(input(2, "e two ", false));
    rig.send(input(8, "two", true));
    let told = rig.until_exit().await;
    let text = told.text(OutputStream::Stdout);
    assert_eq!(text, "one two twoend\n", "and there is no channel");
    let last = told.taken.last().unwrap();
    assert_eq!((last.offset, last.closed), (11, false));
}

#[tokio::test]
async fn input_that_nobody_reads_is_said_to_be_closed() {
    let mut rig = Rig::start().await;
    rig.send(exec("exec <&-; echo closed; sleep 0.3"));
    assert_eq!(rig.next_output().await.data, b"closed\n");
    rig.send(input(0, "for nobody", false));
    let told = rig.until_exit().await;
    assert!(told.taken.iter().any(|taken| taken.closed));
    assert_eq!(told.exit, exited(0));
}

#[tokio::test]
async fn a_numbered_signal_is_sent_once() {
    let mut rig = Rig::start().await;
    rig.send(exec("trap 'echo caught' USR1; echo ready; cat; cat"));
    assert_eq!(rig.next_output().await.data, b"ready\n");
    for number in [1, 1] {
        let mut signal = signal(10);
        signal.number = number;
        rig.send(signal);
    }
    rig.send(input(0, "", true));
    let told = rig.until_exit().await;
    assert_eq!(told.text(OutputStream::Stdout), "caught\n");
}

const SHELL: [&str; 4] = ["/bin/bash", "--norc", "--noprofile", "-i"];

#[tokio::test]
async fn a_pty_has_a_controlling_terminal_of_the_size_asked_for() {
    let mut rig = Rig::start().await;
    rig.send(pty(&[
        "/bin/sh",
        "-c",
        "stty size; echo to the terminal > /dev/tty; echo err >&2; exit 4",
    ]));
    let told = rig.until_exit().await;
    assert_eq!(
        told.text(OutputStream::Stdout),
        "24 80\r\nto the terminal\r\nerr\r\n"
    );
    assert_eq!(told.exit, exited(4));
}

#[tokio::test]
async fn a_pty_without_a_command_is_the_users_login_shell() {
    let mut rig = Rig::start().await;
    rig.send(pty(&[]));
    rig.send(typed(0, "echo shell=$0 term=$TERM user=$USER; exit 3\n"));
    let told = rig.until_exit().await;
    let text = told.text(OutputStream::Stdout);
    assert!(
        text.contains("shell=-") && text.contains("term=xterm-256color user=root"),
        "{text}"
    );
    assert_eq!(told.exit, exited(3));
    let last = told.taken.last().unwrap();
    assert_eq!((last.offset, last.closed), (44, false));
}

#[tokio::test]
async fn a_pty_belongs_to_its_user() {
    let mut rig = Rig::start().await;
    let mut start = pty(&[
        "/bin/sh",
        "-c",
        "stat -c %u:%g:%a $(tty); echo again > $(tty); id -u",
    ]);
    start.user = "12:34".to_owned();
    rig.send(start);
    assert_eq!(
        rig.until_exit().await.text(OutputStream::Stdout),
        "12:34:620\r\nagain\r\n12\r\n"
    );
}

#[tokio::test]
async fn control_c_on_a_terminal_interrupts_what_is_in_its_foreground() {
    let mut rig = Rig::start().await;
    rig.send(pty(&[
        "/bin/bash",
        "-c",
        "trap 'echo caught; exit 5' INT; echo ready; while :; do read -t 1 x; done",
    ]));
    rig.until_shown("ready").await;
    rig.send(typed(0, "\x03"));
    let told = rig.until_exit().await;
    assert!(told.text(OutputStream::Stdout).contains("caught"));
    assert_eq!(told.exit, exited(5));
}

#[tokio::test]
async fn a_resize_is_told_once_and_the_same_size_makes_programs_draw_anew() {
    let mut rig = Rig::start().await;
    rig.send(pty(&[
        "/bin/bash",
        "-c",
        "trap 'echo now $(stty size)' WINCH; echo ready; while :; do read -t 0.05 x; done",
    ]));
    rig.until_shown("ready").await;
    rig.send(resize(100, 30, 1));
    rig.until_shown("now 30 100").await;
    // As after a worker's restart; the one behind it shows that it was passed over.
    rig.send(resize(7, 7, 1));
    rig.send(resize(100, 30, 2));
    let shown = rig.until_shown("now 30 100").await;
    assert!(
        shown.contains("now 29 100") && !shown.contains("7 7"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_terminal_rests_when_its_shell_is_in_the_foreground_and_nothing_happens() {
    let mut rig = Rig::start().await;
    let mut start = pty(&SHELL);
    start.env = vec!["PS1=prompt>".to_owned()];
    rig.send(start);
    rig.until_shown("prompt>").await;
    assert!(rig.next_rest().await, "a shell at its prompt rests");
    let begun = std::time::Instant::now();
    rig.send(typed(0, "sleep 0.7\n"));
    assert!(!rig.next_rest().await, "something was typed");
    assert!(rig.next_rest().await);
    // The silence alone is over much sooner.
    assert!(begun.elapsed() > Duration::from_millis(700));
    rig.acknowledge_all();
    let rig = rig.redial().await;
    let idle: Vec<bool> = rig
        .link
        .greeting()
        .runs
        .iter()
        .map(|run| run.idle)
        .collect();
    assert_eq!(idle, [true], "the next worker is told");
}

#[tokio::test]
async fn what_people_left_running_is_found_and_what_a_run_left_is_not() {
    let mut rig = Rig::start().await;
    rig.send(shell("setsid sleep 1000 & echo done"));
    rig.until_exit().await;
    assert!(!rig.finds_processes(1).await);
    rig.send(pty(&SHELL));
    rig.send(typed(0, "trap '' HUP; sleep 1001 & echo started; exit\n"));
    rig.until_exit().await;
    assert!(rig.finds_processes(2).await, "it outlives its shell");
    let mut kill = signal(9);
    kill.run_id = "pty_1".to_owned();
    rig.send(kill);
    // A killed process is there until the kernel has ended it.
    let mut question = 3;
    while rig.finds_processes(question).await {
        assert!(question < 10_000, "it outlives its signal");
        question += 1;
    }
}

#[tokio::test]
async fn nothing_of_the_agents_own_is_open_in_a_run() {
    let mut rig = Rig::start().await;
    rig.send(shell("for fd in /proc/$$/fd/*; do echo ${fd##*/} $(readlink $fd); done | grep -e socket -e event"));
    let sockets = rig.until_exit().await.text(OutputStream::Stdout);
    assert!(
        sockets.starts_with("3 socket:") && sockets.lines().count() == 1,
        "{sockets}"
    );
}

#[tokio::test]
async fn a_run_is_started_as_the_user_asked_for() {
    let mut rig = Rig::start().await;
    let mut start = shell("id -u; id -g; id -G");
    start.user = "12:34".to_owned();
    rig.send(start);
    assert_eq!(
        rig.until_exit().await.text(OutputStream::Stdout),
        "12\n34\n34\n"
    );
}

#[tokio::test]
async fn what_cannot_be_started_ends_with_the_reason() {
    for (start, expected) in [
        (
            StartRun {
                argv: vec!["/nowhere".to_owned()],
                ..shell("")
            },
            "execute \"/nowhere\"",
        ),
        (
            StartRun {
                argv: vec![],
                ..shell("")
            },
            "nothing to execute",
        ),
        (
            StartRun {
                cwd: "/nowhere".to_owned(),
                ..shell("")
            },
            "/nowhere",
        ),
        (
            StartRun {
                user: "nobody-of-that-name".to_owned(),
                ..shell("")
            },
            "no user",
        ),
    ] {
        let mut rig = Rig::start().await;
        rig.send(start);
        let reason = rig.until_exit().await.exit.start_error.unwrap();
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test]
async fn a_second_start_of_an_attempt_is_ignored_while_the_first_is_known() {
    let mut rig = Rig::start().await;
    rig.send(shell("echo once; read -r a <&3; read -r b <&3"));
    rig.send(shell("echo twice"));
    rig.send(line("end"));
    assert_eq!(rig.until_exit().await.text(OutputStream::Stdout), "once\n");
    let unknown_to_the_dead = rig.send(shell("echo thrice"));
    rig.link.taken(unknown_to_the_dead).await.unwrap();
    let rig = rig.redial().await;
    let known = KnownRun {
        run_id: "run".into(),
        attempt_number: 1,
        phase: RunPhase::Exited.into(),
        ..KnownRun::default()
    };
    assert_eq!(rig.link.greeting().runs, [known]);
}

#[tokio::test]
async fn a_new_worker_is_told_again_what_the_old_one_did_not_acknowledge() {
    let mut rig = Rig::start().await;
    rig.send(shell("echo one; read -r init <&3; read -r a <&3; echo two"));
    let first = rig.next_output().await;
    let mut rig = rig.redial().await;
    let phases: Vec<RunPhase> = rig
        .link
        .greeting()
        .runs
        .iter()
        .map(KnownRun::phase)
        .collect();
    assert_eq!(phases, [RunPhase::Alive]);
    assert_eq!(rig.next_output().await, first);
    rig.send(line("go on"));
    let told = rig.until_exit().await;
    assert_eq!(told.text(OutputStream::Stdout), "two\n");
    assert_eq!(told.output[0].offset, 4);
    rig.acknowledge_all();
    // Any frame carries the acknowledgement along.
    let unknown_to_the_dead = rig.send(line("are you there"));
    rig.link.taken(unknown_to_the_dead).await.unwrap();
    let rig = rig.redial().await;
    assert_eq!(rig.link.greeting().runs, []);
}

#[tokio::test]
async fn output_waits_for_a_worker_that_does_not_acknowledge() {
    let mut rig = Rig::start().await;
    rig.send(shell("head -c 5000000 /dev/zero; echo end"));
    let mut bytes = 0;
    let mut last = 0;
    while let Ok(arrived) = tokio::time::timeout(Duration::from_secs(1), rig.link.recv()).await {
        let arrived = arrived.unwrap();
        last = arrived.position;
        let Some(Body::RunOutput(output)) = arrived.body else {
            panic!("{arrived:?}")
        };
        bytes += output.chunks[0].data.len();
    }
    assert!(
        (1 << 20..2 << 20).contains(&bytes),
        "{bytes} bytes were read ahead"
    );
    rig.link.acknowledge(last);
    rig.acknowledging = true;
    let told = rig.until_exit().await;
    assert_eq!(told.bytes(), 5_000_004 - bytes);
    assert_eq!(told.exit, exited(0));
    assert!(
        told.output
            .windows(2)
            .all(|two| two[0].offset + rig::length(&two[0]) == two[1].offset)
    );
}

#[tokio::test]
async fn an_overlong_line_is_told_by_its_beginning_and_length() {
    let mut rig = Rig::start().await;
    rig.send(shell("head -c 9000000 /dev/zero | tr '\\0' x >&3; echo >&3; echo '{}' >&3; printf unfinished >&3"));
    let told = rig.until_exit().await;
    assert_eq!(told.lines[0], ("x".repeat(4096), Some(9_000_000)));
    assert_eq!(
        told.lines[1..],
        [("{}".to_owned(), None), ("unfinished".to_owned(), None)]
    );
}

#[tokio::test]
async fn a_signal_reaches_descendants_in_other_sessions_and_orphans() {
    let mut rig = Rig::start().await;
    let survivor = rig.path("survivor");
    rig.send(shell(&format!(
        "setsid sh -c 'trap \"\" HUP; echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000' & exec sleep 1001",
        survivor.display()
    )));
    let pid = eventually("the orphan to be there", || {
        fs::read_to_string(&survivor).ok()
    })
    .await;
    rig.send(signal(15));
    assert_eq!(
        rig.until_exit().await.exit,
        Exit {
            signal: Some(15),
            ..Exit::default()
        }
    );
    let path = format!("/proc/{}", pid.trim());
    eventually("the orphan to be gone and reaped", || {
        (!fs::exists(&path).unwrap()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_descendant_that_holds_the_pipe_neither_delays_the_end_nor_dies_of_its_own_words() {
    let mut rig = Rig::start().await;
    let done = rig.path("done");
    let gate = rig.path("gate");
    fs::write(
        rig.path("script"),
        format!(
            "while ! test -e {}; do sleep 0.01; done; echo late; echo later; touch {}",
            gate.display(),
            done.display()
        ),
    )
    .unwrap();
    rig.send(shell(&format!(
        "setsid sh {} & echo early",
        rig.path("script").display()
    )));
    let told = rig.until_exit().await;
    assert_eq!(
        (told.exit.clone(), told.text(OutputStream::Stdout)),
        (exited(0), "early\n".to_owned())
    );
    fs::write(&gate, "").unwrap();
    eventually("the descendant to get past its words", || {
        done.exists().then_some(())
    })
    .await;
}

#[tokio::test]
async fn orphans_are_reaped() {
    let mut rig = Rig::start().await;
    rig.send(shell(
        "for i in 1 2 3 4 5; do (sh -c 'exit 3' & exit 0); done; read -r init <&3; read -r a <&3",
    ));
    let agent = rig.agent_pid();
    eventually("five orphans to come and go", || {
        (rig::children(agent).len() == 1).then_some(())
    })
    .await;
    rig.send(line("end"));
    rig.until_exit().await;
    eventually("all to be gone", || {
        rig::children(agent).is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_machine_that_hears_no_worker_stops_until_one_speaks() {
    let mut rig = Rig::start_with_silence_limit(Duration::from_millis(1500)).await;
    rig.send(shell("sleep 1000 & echo $$ $!; wait"));
    let output = rig.next_output().await;
    let pids: Vec<i32> = String::from_utf8(output.data)
        .unwrap()
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect();
    let silent = rig.silence();
    eventually("both to stop", || {
        pids.iter().all(|pid| rig::state(*pid) == 'T').then_some(())
    })
    .await;
    let mut rig = silent.speak().await;
    eventually("both to go on", || {
        pids.iter().all(|pid| rig::state(*pid) == 'S').then_some(())
    })
    .await;
    rig.send(signal(9));
    rig.next_output().await;
    assert_eq!(
        rig.until_exit().await.exit,
        Exit {
            signal: Some(9),
            ..Exit::default()
        }
    );
}

#[tokio::test]
async fn stopping_the_machine_ends_the_agent_and_everything_below_it() {
    let mut rig = Rig::start().await;
    rig.send(shell("setsid sleep 1000 & echo $!; exec sleep 1001"));
    let pid: i32 = String::from_utf8(rig.next_output().await.data)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    rig.link.send(Body::StopMachine(StopMachine {})).unwrap();
    assert!(rig.agent_exit().await.success());
    eventually("the descendant to be gone", || {
        matches!(rig::state(pid), 'Z' | '?').then_some(())
    })
    .await;
}
