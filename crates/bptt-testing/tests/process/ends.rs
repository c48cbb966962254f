//! Starts and ends of programs: nothing hangs, and no process is left.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bptt_testing::process::Program;
use bptt_testing::{Cases, Certify, Failure, Foreign, Quantity};

use crate::folder::Folder;
use crate::{case, prepare, program, subject};

#[test]
fn a_program_that_ends_after_some_answers_says_after_how_many() {
    let subject = subject();
    let folder = Folder::new("some");
    prepare(&folder, &Cases::new(&subject), 2, false);
    let mut program = program(
        &folder,
        "read -r q; sed -n 1p answers; read -r q; sed -n 2p answers",
    );
    let certificate = Certify::new(Cases::new(&subject))
        .run(&mut program)
        .unwrap();
    let failure = certificate.failure().unwrap();
    assert_eq!((failure.kind(), certificate.trials().len()), ("ended", 3));
    let message = failure.message();
    assert!(
        message.contains("exit code 0 before its answer to question 3"),
        "{message}"
    );
}

/// The last line of a program that then ends needs no end.
#[test]
fn an_answer_without_an_end_of_line_counts_if_the_program_has_ended() {
    let folder = Folder::new("no-end");
    let mut program = program(&folder, "read -r q; printf '{\"id\": 1, \"loss\": 0.5}'");
    let answer = program.answer(&case(), false).unwrap();
    assert_eq!(answer.get(Quantity::Loss, "loss").unwrap()[[]], 0.5);
}

/// A question larger than a pipe holds does not block a program that does not read, or answers first.
#[test]
fn a_large_question_does_not_block() {
    let wide = Cases::new(&subject()).size("H", 20_000).draw(1).unwrap();
    let folder = Folder::new("large");
    for (script, kind) in [
        ("sleep 100", Some("late")),
        ("exit 0", Some("ended")),
        (
            "exec 0<&-; echo '{\"id\": 1, \"loss\": 1}'; sleep 100",
            None,
        ),
        ("echo '{\"id\": 1, \"loss\": 1}'; cat > copy", None),
        ("echo '{\"id\": 1, \"loss\": 1}'; sleep 100", None),
    ] {
        let begun = Instant::now();
        let found = program(&folder, script).answer(&wide, false);
        assert_eq!(
            found.as_ref().err().map(Failure::kind),
            kind,
            "{script}: {found:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(10), "{script}");
    }
    let copied = fs::metadata(folder.file("copy")).unwrap().len();
    assert!(copied > 1 << 20, "the question has {copied} bytes");
}

/// After a failure the program starts again.
#[test]
fn the_case_after_a_failure_starts_the_program_again() {
    let folder = Folder::new("again");
    let script = "if test -e once; then read -r q; echo '{\"id\": 1, \"loss\": 1}'; else touch once; exit 1; fi";
    let mut program = program(&folder, script);
    assert_eq!(program.answer(&case(), false).unwrap_err().kind(), "ended");
    assert!(program.answer(&case(), false).is_ok());
}

/// A program that declines one question is not started again for the next.
#[test]
fn a_program_that_declines_goes_on() {
    let folder = Folder::new("declines");
    let script = "echo start >> starts; read -r q; echo '{\"id\": 1, \"unsupported\": \"lengths\"}'; read -r q; echo '{\"id\": 2, \"loss\": 1}'";
    let mut program = program(&folder, script);
    assert_eq!(
        program.answer(&case(), false).unwrap_err().kind(),
        "unsupported"
    );
    assert!(program.answer(&case(), false).is_ok());
    assert_eq!(
        fs::read_to_string(folder.file("starts")).unwrap(),
        "start\n"
    );
}

#[test]
fn a_program_without_a_shell_gets_its_arguments_as_they_are() {
    let subject = subject();
    let script = "read -r q; echo \"{\\\"id\\\": 1, \\\"error\\\": \\\"$1\\\"}\"";
    let arguments = ["-c", script, "sh", "a b; $HOME"];
    let mut program = Program::direct(&subject, "sh", &arguments);
    assert_eq!(
        program.answer(&case(), false).unwrap_err().message(),
        "a b; $HOME"
    );
    let mut absent = Program::direct(&subject, "no_such_program", &[]);
    let found = absent.answer(&case(), false).unwrap_err();
    assert_eq!(found.kind(), "ended");
    assert!(
        found
            .message()
            .contains("`no_such_program` cannot be started"),
        "{found}"
    );
}

/// True if no process with this number runs, or it ends at once: a signal takes a moment. A process whose parent does not
/// ask for its status is a zombie.
#[cfg(target_os = "linux")]
fn is_gone(pid: &str) -> bool {
    let is_zombie = |s: String| {
        s.lines()
            .any(|l| l.starts_with("State:") && l.contains('Z'))
    };
    (0..100).any(|_| {
        let status = fs::read_to_string(std::path::Path::new("/proc").join(pid).join("status"));
        let is_gone = status.map_or(true, is_zombie);
        std::thread::sleep(Duration::from_millis(if is_gone { 0 } else { 20 }));
        is_gone
    })
}

/// All processes that a program has started end with it, also those that ignore signals.
#[cfg(target_os = "linux")]
#[test]
fn no_process_is_left() {
    let children = "trap '' TERM INT HUP; sh -c 'sleep 1000' & echo $! > pids; sleep 1000 & echo $! >> pids; echo $$ >> pids;";
    for (name, rest) in [
        ("late", "sleep 1000"),
        ("ends", "exit 1"),
        (
            "answers",
            "read -r q; echo '{\"id\": 1, \"loss\": 1}'; read -r q",
        ),
        (
            "goes-on",
            "read -r q; echo '{\"id\": 1, \"loss\": 1}'; sleep 1000",
        ),
        ("chatters", "echo hello; sleep 1000"),
    ] {
        let folder = Folder::new(name);
        let mut program = program(&folder, &format!("{children} {rest}"));
        drop(program.answer(&case(), false));
        drop(program);
        let pids = fs::read_to_string(folder.file("pids")).unwrap();
        assert_eq!(pids.lines().count(), 3, "{name}");
        for pid in pids.lines() {
            assert!(is_gone(pid), "{name}: process {pid} is left");
        }
    }
}

/// A stop that is asked for comes long before the time limit.
#[test]
fn a_stop_kills_the_program() {
    let subject = subject();
    for files in [false, true] {
        let stop = Arc::<AtomicBool>::default();
        let here = Arc::clone(&stop);
        let program = Program::new(&subject, "sleep 100; :");
        let program = program.stop_if(move || here.load(Ordering::SeqCst));
        let mut program = if files { program.files() } else { program };
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(200));
                stop.store(true, Ordering::SeqCst);
            });
            let found = program.answer(&case(), false).unwrap_err();
            assert!(found.message().contains("was stopped"), "{found}");
        });
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
