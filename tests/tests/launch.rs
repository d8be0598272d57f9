//! The script that starts the ranks of one machine.

use std::process::{Command, Output};
use std::time::Duration;

/// The script with `count` ranks of a shell that runs `text`.
fn ranks(count: &str, text: &str) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/ranks"));
    for name in ["NCCL_COMM_ID", "MASTER_ADDR", "MASTER_PORT", "NODES", "NODE_RANK"] {
        command.env_remove(name);
    }
    command.args([count, "bash", "-c", text]).env("GRACE", "1");
    command
}

fn lines(output: &Output) -> Vec<String> {
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn every_rank_is_told_who_it_is() {
    let tell = "echo $RANK/$WORLD_SIZE $LOCAL_RANK $NCCL_COMM_ID";
    let output = ranks("2", tell).output().unwrap();
    assert!(output.status.success());
    assert_eq!(lines(&output), ["0/2 0 127.0.0.1:29400", "1/2 1 127.0.0.1:29400"]);
    let second = [("NODES", "2"), ("NODE_RANK", "1"), ("MASTER_ADDR", "first"), ("MASTER_PORT", "7")];
    let output = ranks("2", tell).envs(second).output().unwrap();
    assert_eq!(lines(&output), ["2/4 0 first:7", "3/4 1 first:7"]);
    assert_eq!(ranks("none", tell).output().unwrap().status.code(), Some(2));
}

#[test]
fn all_ranks_end_with_one_that_fails_even_those_that_do_not_listen() {
    for trap in ["", "trap '' TERM;"] {
        let text = format!("[ $RANK = 1 ] && exit 7; {trap} for i in $(seq 600); do sleep 0.1; done");
        assert_eq!(ranks("3", &text).output().unwrap().status.code(), Some(7));
    }
}

#[test]
fn a_request_to_stop_goes_to_all_ranks() {
    let text = "trap 'echo saved $RANK; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    let child = ranks("2", text).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(lines(&output), ["ready", "ready", "saved 0", "saved 1"]);
}
