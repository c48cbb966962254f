//! Atomic writes: a file has its old content or all of the new one, with concurrent writers and with writers
//! that are killed.

use std::fs;
use std::path::Path;

use crate::support::Noise;
use crate::support::folder::Folder;
use bptt::data::{can_write_whole, write_whole};

/// The names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn a_file_is_replaced_and_nothing_else_is_touched() {
    let folder = Folder::new("whole");
    let path = folder.file("kept.npz");
    fs::write(&path, "old").unwrap();
    // A name of another pattern; the file must not be removed.
    fs::write(folder.file(".kept.npz.1.part"), "another program's").unwrap();
    can_write_whole(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    write_whole(&path, b"new").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(names(folder.path()), [".kept.npz.1.part", "kept.npz"]);
}

/// A file with the longest possible name, which a longer temporary name would exceed.
#[test]
fn a_long_name_is_written() {
    let folder = Folder::new("long");
    let path = folder.file(&"x".repeat(255));
    write_whole(&path, b"new").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
}

#[test]
fn threads_that_write_to_one_path_all_succeed() {
    let folder = Folder::new("threads");
    let path = folder.file("shared.npz");
    let contents: Vec<Vec<u8>> = (0..8).map(|i| vec![b'a' + i; 100_000]).collect();
    std::thread::scope(|scope| {
        for content in &contents {
            scope.spawn(|| {
                for _ in 0..5 {
                    write_whole(&path, content).unwrap();
                    let found = fs::read(&path).unwrap();
                    assert!(contents.contains(&found), "one of the contents, whole");
                }
            });
        }
    });
    assert_eq!(names(folder.path()), ["shared.npz"]);
}

#[test]
fn leftovers_are_removed_unless_their_writer_lives() {
    let folder = Folder::new("leftovers");
    let dead = folder.file(".bptt-00000000000000aa.part");
    let alive = folder.file(".bptt-00000000000000bb.part");
    fs::write(&dead, "half").unwrap();
    let writing = fs::File::create(&alive).unwrap();
    writing.lock().unwrap();
    fs::create_dir(folder.file(".bptt-00000000000000cc.part")).unwrap();
    write_whole(folder.file("a.npz"), b"new").unwrap();
    let kept = [
        ".bptt-00000000000000bb.part",
        ".bptt-00000000000000cc.part",
        "a.npz",
    ];
    assert_eq!(names(folder.path()), kept);
    drop(writing);
    write_whole(folder.file("a.npz"), b"newer").unwrap();
    assert_eq!(names(folder.path()), kept[1..]);
}

const WRITER: &str = "BPTT_TEST_WRITES_TO";
const SIZE: usize = 300_000;

/// Not a test: the process killed by the next test.
#[test]
#[ignore = "writes until it is killed"]
fn write_until_killed() {
    let Ok(path) = std::env::var(WRITER) else {
        return;
    };
    for content in (0..=255u8).cycle() {
        write_whole(&path, &vec![content; SIZE]).unwrap();
    }
}

fn writer(path: &Path) -> std::process::Child {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "writing::write_until_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(WRITER, path)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// The content of a file, which must be complete.
fn whole(path: &Path) -> Vec<u8> {
    let found = fs::read(path).unwrap();
    assert_eq!(found.len(), SIZE, "all of it");
    assert!(
        found.iter().all(|byte| *byte == found[0]),
        "two contents in one file"
    );
    found
}

/// A writer does not remove the temporary file of another live writer.
#[test]
fn processes_that_write_to_one_path_all_succeed() {
    let folder = Folder::new("processes");
    let path = folder.file("target.npz");
    fs::write(&path, vec![7; SIZE]).unwrap();
    let mut writers = [writer(&path), writer(&path), writer(&path)];
    let until = std::time::Instant::now() + std::time::Duration::from_secs(1);
    while std::time::Instant::now() < until {
        whole(&path);
    }
    for writer in &mut writers {
        assert!(writer.try_wait().unwrap().is_none(), "a write failed");
        writer.kill().unwrap();
        writer.wait().unwrap();
    }
    write_whole(&path, b"new").unwrap();
    assert_eq!(names(folder.path()), ["target.npz"]);
}

#[test]
fn a_killed_writer_leaves_the_old_or_the_new_content() {
    let folder = Folder::new("killed");
    let path = folder.file("target.npz");
    fs::write(&path, vec![7; SIZE]).unwrap();
    let mut noise = Noise(5);
    let mut leftovers = 0;
    for round in 0..50 {
        let before = fs::read(&path).unwrap();
        let mut child = writer(&path);
        // Once the content changes, the writer is running; it is killed at a random moment.
        while fs::read(&path).unwrap() == before && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_micros(noise.bits() % 20_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = whole(&path);
        leftovers += names(folder.path()).len() - 1;
        write_whole(&path, &found).unwrap();
        assert_eq!(names(folder.path()), ["target.npz"], "round {round}");
    }
    assert!(leftovers > 0, "no writer was killed while it wrote");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn links_are_followed_and_permissions_kept() {
        let folder = Folder::new("links");
        let (path, link) = (folder.file("private.npz"), folder.file("link.npz"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        symlink("private.npz", &link).unwrap();
        symlink("link.npz", folder.file("second.npz")).unwrap();
        let owner = fs::metadata(&path).unwrap().uid();
        write_whole(folder.file("second.npz"), b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        assert_eq!(found.uid(), owner);
    }

    #[test]
    fn a_dangling_link_makes_its_target() {
        let folder = Folder::new("dangling");
        fs::create_dir(folder.file("sub")).unwrap();
        let link = folder.file("link.npz");
        symlink("sub/target.npz", &link).unwrap();
        can_write_whole(&link).unwrap();
        assert!(!folder.file("sub/target.npz").exists(), "only tried");
        write_whole(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            fs::read_to_string(folder.file("sub/target.npz")).unwrap(),
            "new"
        );
        assert_eq!(names(&folder.file("sub")), ["target.npz"]);
        let lost = folder.file("lost.npz");
        symlink("nowhere/target.npz", &lost).unwrap();
        assert!(write_whole(&lost, b"new").is_err(), "no such folder");
        assert!(fs::symlink_metadata(&lost).unwrap().is_symlink());
    }

    #[test]
    fn a_circle_of_links_is_refused() {
        let folder = Folder::new("circle");
        symlink("b.npz", folder.file("a.npz")).unwrap();
        symlink("a.npz", folder.file("b.npz")).unwrap();
        let message = write_whole(folder.file("a.npz"), b"new")
            .unwrap_err()
            .to_string();
        assert!(message.contains("more than 40 links"), "{message}");
        assert_eq!(names(folder.path()), ["a.npz", "b.npz"]);
    }

    #[test]
    fn a_file_that_may_not_be_written_is_not_replaced() {
        let folder = Folder::new("read_only");
        let path = folder.file("kept.npz");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        // The superuser may write read-only files.
        let privileged = fs::File::options().write(true).open(&path).is_ok();
        assert_eq!(can_write_whole(&path).is_ok(), privileged);
        assert_eq!(write_whole(&path, b"new").is_ok(), privileged);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o444);
        let expected = if privileged { "new" } else { "old" };
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    /// A privileged rename to `/dev/null` would replace the device for the whole machine; a socket tests the
    /// same without that risk.
    #[test]
    fn a_socket_is_not_replaced() {
        let folder = Folder::new("socket");
        let path = folder.file("socket.html");
        let _listening = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(write_whole(&path, b"page").is_err(), "nobody can write it");
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    }
}
