//! A hub on this machine: one model, a listing, files with ranges, and faults on demand. Plain sockets, because a test
//! wants to close a connection in the middle of an answer.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

/// The commit of the stand-in's model until it moves.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a model needs at least.
pub const SMALL: [(&str, &str); 4] = [
    ("config.json", "{}"),
    ("tokenizer.json", "{\"a\": 1}"),
    ("model.safetensors", WEIGHTS),
    ("README.md", "no"),
];

/// Weights that a download can break in.
pub const WEIGHTS: &str = "a row of weights that is long enough to break in the middle of it";

/// A question that was put to the hub.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
}

/// What the hub has, and what it does wrong.
#[derive(Debug, Default)]
pub struct State {
    pub commit: String,
    pub files: BTreeMap<String, String>,
    /// Everything that was asked.
    pub asked: Vec<Asked>,
    /// Answers to paths that contain a text: number, `x-error-code`.
    pub refuse: Option<(&'static str, u16, &'static str)>,
    /// The next answer with a file of this name ends after so many bytes.
    pub break_in: Option<(&'static str, usize)>,
    /// Files of this name stop to come after their first byte.
    pub stall_in: Option<&'static str>,
    /// Files come whole, whatever part was asked for.
    pub ignore_range: bool,
    /// Files of this name come with these bytes instead.
    pub swap: Option<(&'static str, &'static str)>,
    /// Weights lie on another server.
    pub redirect: bool,
}

/// A hub that runs until the test ends.
pub struct StandIn {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl StandIn {
    pub fn start(files: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { commit: COMMIT.to_owned(), ..State::default() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                // A client that goes away in the middle of an answer is no failure of the hub.
                std::thread::spawn(move || serve(&shared, stream.unwrap()).ok());
            }
        });
        let stand_in = Self { endpoint, state };
        stand_in.set(|state| state.files = own(files));
        stand_in
    }

    /// Changes what it has or does.
    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// What was asked since the last time.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }

    /// The files that were asked for since the last time.
    pub fn files_asked(&self) -> Vec<String> {
        let files = self.asked().into_iter().filter(|asked| asked.path.contains("/resolve/"));
        files.map(|asked| asked.path.rsplit('/').next().unwrap().to_owned()).collect()
    }
}

/// Files by name.
pub fn own(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".bin")
}

/// SHA-256 of a large file; of a small one the hub says git's digest, which only has to be another name here.
pub fn digest(name: &str, text: &str) -> String {
    let hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    if is_large(name) { hex } else { hex[..40].to_owned() }
}

fn listing(state: &State) -> String {
    let sibling = |(name, text): (&String, &String)| {
        let (digest, size) = (digest(name, text), text.len());
        if is_large(name) {
            serde_json::json!({"rfilename": name, "blobId": "ab12", "size": size,
                "lfs": {"sha256": digest, "size": size, "pointerSize": 134}})
        } else {
            serde_json::json!({"rfilename": name, "blobId": digest, "size": size})
        }
    };
    let siblings: Vec<_> = state.files.iter().map(sibling).collect();
    serde_json::json!({"id": "a/b", "sha": state.commit, "siblings": siblings}).to_string()
}

fn serve(state: &Mutex<State>, mut stream: TcpStream) -> std::io::Result<()> {
    let asked = read_request(&stream)?;
    let mut state = state.lock().unwrap();
    state.asked.push(asked.clone());
    let path = asked.path.split('?').next().unwrap_or_default();
    if let Some((text, status, code)) = state.refuse
        && path.contains(text)
    {
        return write!(
            stream,
            "HTTP/1.1 {status} No\r\nx-error-code: {code}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
    }
    if path.starts_with("/api/models/a/b/revision/") {
        return send(&mut stream, "200 OK", "", &listing(&state));
    }
    let name = match path.strip_prefix("/elsewhere/") {
        Some(name) => name.to_owned(),
        None => match path.strip_prefix(&format!("/a/b/resolve/{}/", state.commit)) {
            Some(name) if state.redirect && is_large(name) => {
                // Another name of this machine, hence another server to the client.
                let port = stream.local_addr()?.port();
                let header = format!("location: http://localhost:{port}/elsewhere/{name}\r\n");
                return send(&mut stream, "302 Found", &header, "");
            }
            Some(name) => name.to_owned(),
            None => return send(&mut stream, "404 Not Found", "", ""),
        },
    };
    let mut text = state.files[&name].clone();
    if let Some((swapped, other)) = state.swap
        && swapped == name
    {
        text = other.to_owned();
    }
    let from = match &asked.range {
        Some(range) if !state.ignore_range => {
            range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap()
        }
        _ => 0,
    };
    let (status, range) = match from {
        0 => ("200 OK", String::new()),
        _ => (
            "206 Partial Content",
            format!("content-range: bytes {from}-{}/{}\r\n", text.len() - 1, text.len()),
        ),
    };
    let rest = &text[from..];
    if state.stall_in == Some(&name) {
        drop(state);
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", rest.len(), &rest[..1])?;
        loop {
            std::thread::park();
        }
    }
    match state.break_in {
        Some((broken, count)) if broken == name => {
            state.break_in = None;
            let (sent, len) = (&rest[..count], rest.len());
            write!(stream, "HTTP/1.1 {status}\r\n{range}content-length: {len}\r\n\r\n{sent}")
        }
        _ => send(&mut stream, status, &range, rest),
    }
}

fn send(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> std::io::Result<()> {
    let len = body.len();
    write!(stream, "HTTP/1.1 {status}\r\n{headers}content-length: {len}\r\nconnection: close\r\n\r\n{body}")
}

fn read_request(stream: &TcpStream) -> std::io::Result<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut asked =
        Asked { path: first.split(' ').nth(1).unwrap_or_default().to_owned(), ..Asked::default() };
    for line in lines {
        let line = line?;
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("range") => asked.range = Some(value.to_owned()),
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                asked.token = Some(value.to_owned());
            }
            None if line.is_empty() => break,
            _ => {}
        }
    }
    Ok(asked)
}
