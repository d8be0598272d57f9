//! A server on this machine that answers questions, or does what it was told to do wrong. Plain sockets, because a test
//! wants to end a connection in the middle of an answer.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What becomes of one request.
#[derive(Debug, Clone)]
pub enum Act {
    /// An answer with this text.
    Say(&'static str),
    /// An answer that ran out of tokens.
    Unfinished,
    /// A status, with a wait in seconds.
    Status(u16, Option<u64>),
    /// An answer that breaks off in the middle.
    Break,
    /// An answer that comes a byte at a time and never ends.
    Trickle,
    /// Nothing at all.
    Silence,
    /// No JSON.
    Garbage,
    /// The connection is closed.
    Close,
}

#[derive(Debug, Default)]
struct State {
    acts: VecDeque<Act>,
    /// Bodies of everything that was asked, and when.
    asked: Vec<(Value, Instant)>,
    key: Option<String>,
    inside: usize,
    most_inside: usize,
    /// How long a good answer takes.
    takes: Duration,
    /// What is answered where nothing else is to be done; "yes" when absent.
    replies: Option<fn(&Value) -> String>,
}

/// A server that runs until the test ends.
pub struct StandIn {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl StandIn {
    /// Does these things in order, and then answers "yes".
    pub fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { acts: acts.into_iter().collect(), ..State::default() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                // A client that goes away in the middle of an answer is no failure of the server.
                std::thread::spawn(move || serve(&shared, stream.unwrap()).ok());
            }
        });
        Self { url, state }
    }

    pub fn takes(self, time: Duration) -> Self {
        self.state.lock().unwrap().takes = time;
        self
    }

    /// Answers by the body of the question.
    #[allow(dead_code, reason = "the engine's tests ask so")]
    pub fn answering(self, replies: fn(&Value) -> String) -> Self {
        self.state.lock().unwrap().replies = Some(replies);
        self
    }

    /// Everything that was asked.
    pub fn asked(&self) -> Vec<Value> {
        self.state.lock().unwrap().asked.iter().map(|(body, _)| body.clone()).collect()
    }

    /// Seconds between the first and the last question.
    pub fn span_s(&self) -> f64 {
        let state = self.state.lock().unwrap();
        let times = state.asked.iter().map(|(_, at)| *at);
        (times.clone().max().unwrap() - times.min().unwrap()).as_secs_f64()
    }

    /// The key that came with the last question.
    pub fn key(&self) -> Option<String> {
        self.state.lock().unwrap().key.clone()
    }

    /// The most questions at a time.
    pub fn most_inside(&self) -> usize {
        self.state.lock().unwrap().most_inside
    }
}

fn completion(text: &str, finish: &str) -> String {
    json!({
        "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": finish }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 4 },
    })
    .to_string()
}

fn serve(state: &Mutex<State>, mut stream: TcpStream) -> std::io::Result<()> {
    let (path, key, body) = read_request(&stream)?;
    if path.ends_with("/models") {
        let list = json!({ "data": [{ "id": "other" }, { "id": "m", "max_model_len": 4096 }] });
        return send(&mut stream, 200, "", &list.to_string());
    }
    // A client that was killed may have said nothing yet.
    let Ok(body) = serde_json::from_slice::<Value>(&body) else { return Ok(()) };
    let (act, takes, reply) = {
        let mut state = state.lock().unwrap();
        state.key = key;
        let reply = state.replies.map(|replies| replies(&body));
        state.asked.push((body, Instant::now()));
        state.inside += 1;
        state.most_inside = state.most_inside.max(state.inside);
        (state.acts.pop_front(), state.takes, reply)
    };
    std::thread::sleep(takes);
    let done = match (act, reply) {
        (Some(act), _) => act_out(&act, &mut stream),
        (None, Some(reply)) => send(&mut stream, 200, "", &completion(&reply, "stop")),
        (None, None) => act_out(&Act::Say("yes"), &mut stream),
    };
    state.lock().unwrap().inside -= 1;
    done
}

fn act_out(act: &Act, stream: &mut TcpStream) -> std::io::Result<()> {
    match act {
        Act::Say(text) => send(stream, 200, "", &completion(text, "stop")),
        Act::Unfinished => send(stream, 200, "", &completion("and so on and so", "length")),
        Act::Status(status, wait) => {
            let header = wait.map_or_else(String::new, |wait| format!("retry-after: {wait}\r\n"));
            send(stream, *status, &header, "{\"error\": \"because\"}")
        }
        Act::Break => {
            let text = completion("yes", "stop");
            let (half, len) = (&text[..text.len() / 2], text.len());
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n{half}")
        }
        Act::Trickle => {
            write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            loop {
                write!(stream, "1\r\n \r\n")?;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Act::Silence => loop {
            std::thread::park();
        },
        Act::Garbage => send(stream, 200, "", "<html>busy</html>"),
        Act::Close => Ok(()),
    }
}

fn send(stream: &mut TcpStream, status: u16, headers: &str, body: &str) -> std::io::Result<()> {
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Status\r\n{headers}content-length: {len}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn read_request(stream: &TcpStream) -> std::io::Result<(String, Option<String>, Vec<u8>)> {
    let mut input = BufReader::new(stream);
    let (mut line, mut path, mut key, mut len) = (String::new(), String::new(), None, 0);
    input.read_line(&mut line)?;
    path.push_str(line.split(' ').nth(1).unwrap_or_default());
    loop {
        line.clear();
        input.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                len = value.parse().unwrap()
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => key = Some(value.to_owned()),
            None => break,
            _ => {}
        }
    }
    let mut body = vec![0; len];
    input.read_exact(&mut body)?;
    Ok((path, key, body))
}
