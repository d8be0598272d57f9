//! A question as a server takes it.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::config::{EndpointConfig, Style};
use crate::fault::Fault;
use crate::question::{Clip, Part, Question};

/// The body of a chat completion.
pub(crate) fn body(config: &EndpointConfig, question: &Question) -> Result<Value, Fault> {
    let mut content = Vec::new();
    let mut clips = Vec::new();
    for part in &question.parts {
        match part {
            Part::Text(text) => content.push(json!({ "type": "text", "text": text })),
            Part::Image(bytes) => content.push(image(bytes)),
            Part::Clip(clip) => {
                check(clip)?;
                clips.push(clip);
                show(config.style, clip, &mut content);
            }
        }
    }
    let mut messages = Vec::new();
    if let Some(system) = &question.system {
        messages.push(json!({ "role": "system", "content": system }));
    }
    messages.push(json!({ "role": "user", "content": content }));
    let sampling = question.sampling;
    let mut body = json!({
        "model": config.model,
        "messages": messages,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
    });
    if let Some(schema) = &question.schema {
        body["response_format"] = json!({
            "type": "json_schema",
            "json_schema": { "name": "answer", "schema": schema, "strict": true },
        });
    }
    if config.style == Style::Vllm {
        match clips.as_slice() {
            [] => {}
            // Without this the server would choose 32 of the frames by itself.
            [clip] => {
                body["media_io_kwargs"] = json!({ "video": {
                    "num_frames": -1,
                    "fps": clip.fps,
                    "frames_indices": clip.indices,
                    "total_num_frames": clip.total,
                    "duration": clip.total as f64 / clip.fps,
                    "do_sample_frames": false,
                } });
            }
            _ => return Err(own("vLLM is told about the frames of one video a question, not of several")),
        }
    }
    Ok(body)
}

fn own(reason: &str) -> Fault {
    Fault::Own { model: "question".to_owned(), reason: reason.to_owned() }
}

fn check(clip: &Clip) -> Result<(), Fault> {
    if clip.frames.is_empty() || clip.frames.len() != clip.indices.len() {
        return Err(own("a clip needs frames, and a number for each of them"));
    }
    if !(clip.fps > 0.0 && clip.fps.is_finite()) || clip.indices.iter().any(|&index| index >= clip.total) {
        return Err(own("a clip's rate must be positive, and its frames lie in its video"));
    }
    Ok(())
}

fn image(bytes: &Arc<[u8]>) -> Value {
    let kind = if bytes.starts_with(b"\x89PNG") { "png" } else { "jpeg" };
    let data = BASE64_STANDARD.encode(bytes);
    json!({ "type": "image_url", "image_url": { "url": format!("data:image/{kind};base64,{data}") } })
}

fn show(style: Style, clip: &Clip, content: &mut Vec<Value>) {
    match style {
        Style::Images => {
            for (frame, &index) in clip.frames.iter().zip(&clip.indices) {
                let at_s = index as f64 / clip.fps;
                content.push(json!({ "type": "text", "text": format!("[{at_s:.1} s]") }));
                content.push(image(frame));
            }
        }
        Style::Sglang => {
            for frame in &clip.frames {
                let mut frame = image(frame);
                frame["modalities"] = json!("video");
                content.push(frame);
            }
        }
        Style::Vllm => {
            let frames: Vec<String> = clip.frames.iter().map(|frame| BASE64_STANDARD.encode(frame)).collect();
            let url = format!("data:video/jpeg;base64,{}", frames.join(","));
            let uuid = blake3::hash(url.as_bytes()).to_hex().to_string();
            content.push(json!({ "type": "video_url", "video_url": { "url": url }, "uuid": uuid }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip() -> Clip {
        let frame = |byte: u8| Arc::from([byte; 3].as_slice());
        Clip { frames: vec![frame(1), frame(2)], indices: vec![0, 45], total: 90, fps: 30.0 }
    }

    fn content(style: Style) -> (Value, Vec<Value>) {
        let config = EndpointConfig { style, ..EndpointConfig::new("http://x", "m") };
        let question = Question::new("q", "What?").showing(Part::Clip(clip()));
        let body = body(&config, &question).unwrap();
        let content = body["messages"][0]["content"].as_array().unwrap().clone();
        (body, content)
    }

    #[test]
    fn frames_go_as_each_kind_of_server_takes_them() {
        let (body, parts) = content(Style::Images);
        assert_eq!(parts.len(), 5);
        assert_eq!(parts[2]["text"], "[1.5 s]");
        assert_eq!(parts[3]["image_url"]["url"], "data:image/jpeg;base64,AgIC");
        assert!(body.get("media_io_kwargs").is_none());

        let (_, parts) = content(Style::Sglang);
        assert_eq!((parts.len(), &parts[1]["modalities"]), (3, &json!("video")));

        let (body, parts) = content(Style::Vllm);
        assert_eq!(parts[0]["video_url"]["url"], "data:video/jpeg;base64,AQEB,AgIC");
        let told = &body["media_io_kwargs"]["video"];
        assert_eq!((&told["num_frames"], &told["duration"]), (&json!(-1), &json!(3.0)));
        assert_eq!((&told["frames_indices"], &told["do_sample_frames"]), (&json!([0, 45]), &json!(false)));
    }

    #[test]
    fn clips_that_cannot_be_are_refused() {
        let config = EndpointConfig::new("http://x", "m");
        let ask = |clip: Clip| body(&config, &Question::new("q", "What?").showing(Part::Clip(clip)));
        assert!(ask(Clip { indices: vec![0], ..clip() }).is_err());
        assert!(ask(Clip { total: 45, ..clip() }).is_err());
        assert!(ask(Clip { fps: 0.0, ..clip() }).is_err());
        let vllm = EndpointConfig { style: Style::Vllm, ..config };
        let two = Question::new("q", "What?").showing(Part::Clip(clip())).showing(Part::Clip(clip()));
        assert!(body(&vllm, &two).is_err());
    }
}
