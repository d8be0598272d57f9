//! Servers that are busy, away or broken.

use std::time::{Duration, Instant};

use serde_json::json;
use strefer_teacher::{
    Endpoint, EndpointConfig, Endpoints, Fault, Price, Question, Sampling, Teacher, Usage,
};

use crate::stand_in::{Act, StandIn};

/// Settings with little patience.
pub fn config(server: &StandIn) -> EndpointConfig {
    EndpointConfig { try_s: 0.5, deadline_s: 20.0, tries: 4, ..EndpointConfig::new(&server.url, "m") }
}

fn endpoint(server: &StandIn) -> Endpoint {
    Endpoint::new(config(server)).unwrap()
}

fn question() -> Question {
    Question::new("test", "Is it?")
}

#[test]
fn what_may_go_well_the_next_time_is_tried_again() {
    let acts = [
        Act::Status(429, Some(1)),
        Act::Status(503, None),
        Act::Break,
        Act::Close,
        Act::Garbage,
        Act::Silence,
        Act::Trickle,
    ];
    for act in acts {
        let server = StandIn::start([act.clone()]);
        let begun = Instant::now();
        let answer = endpoint(&server).ask(&question());
        assert_eq!(answer.unwrap_or_else(|fault| panic!("{act:?}: {fault}")).text, "yes");
        assert_eq!(server.asked().len(), 2, "{act:?}");
        if let Act::Status(429, Some(wait)) = act {
            assert!(begun.elapsed() >= Duration::from_secs(wait), "it asked to be left alone");
        }
    }
}

#[test]
fn what_will_not_go_well_is_said_at_once() {
    for status in [400, 401, 403, 404, 413, 422] {
        let server = StandIn::start([Act::Status(status, None)]);
        let fault = endpoint(&server).ask(&question()).unwrap_err();
        assert!(matches!(&fault, Fault::Refused { status: found, .. } if *found == status), "{fault}");
        assert!(fault.to_string().contains("because"), "{fault}");
        assert_eq!(server.asked().len(), 1);
    }
    let server = StandIn::start([Act::Unfinished]);
    let fault = endpoint(&server).ask(&question()).unwrap_err();
    assert!(matches!(fault, Fault::Unfinished { max_tokens: 1024, .. }), "{fault}");
    assert_eq!(server.asked().len(), 1, "it would not end the next time either");
}

#[test]
fn patience_ends() {
    let server = StandIn::start(vec![Act::Close; 9]);
    let fault = endpoint(&server).ask(&question()).unwrap_err();
    assert!(matches!(fault, Fault::Unavailable { tries: 4, .. }), "{fault}");
    assert_eq!(server.asked().len(), 4);

    let server = StandIn::start(vec![Act::Trickle; 9]);
    let hurried = EndpointConfig { deadline_s: 1.2, tries: 99, ..config(&server) };
    let begun = Instant::now();
    let fault = Endpoint::new(hurried).unwrap().ask(&question()).unwrap_err();
    assert!(matches!(fault, Fault::Late { .. }), "{fault}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn answers_of_another_form_are_asked_for_again_with_another_seed() {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    let question = Question { schema: Some(schema.clone()), ..question() };
    let server = StandIn::start([Act::Say("{\"n\": "), Act::Say("{\"n\": \"3\"}"), Act::Say("{\"n\": 3}")]);
    let answer = endpoint(&server).ask(&question).unwrap();
    assert_eq!(answer.value, Some(json!({ "n": 3 })));
    assert_eq!(answer.usage, Usage { prompt_tokens: 30, completion_tokens: 12 }, "all three were paid for");
    let asked = server.asked();
    let seeds: Vec<_> = asked.iter().map(|body| body["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [0, 1, 2]);
    assert_eq!(asked[0]["response_format"]["json_schema"]["schema"], schema);

    let server = StandIn::start(vec![Act::Say("no idea"); 9]);
    let fault = endpoint(&server).ask(&question).unwrap_err();
    assert!(matches!(&fault, Fault::Form { said, .. } if said == "no idea"), "{fault}");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn questions_wait_for_room_and_for_their_turn() {
    let server = StandIn::start([]).takes(Duration::from_millis(100));
    let paced = EndpointConfig { in_flight: 3, requests_per_minute: Some(1200.0), ..config(&server) };
    let endpoint = Endpoint::new(paced).unwrap();
    std::thread::scope(|scope| {
        for number in 0..12 {
            let endpoint = &endpoint;
            scope.spawn(move || endpoint.ask(&Question::new("test", format!("{number}?"))).unwrap());
        }
    });
    assert!(server.most_inside() <= 3, "{}", server.most_inside());
    assert!(server.span_s() >= 11.0 * 0.05 - 0.06, "{}", server.span_s());
    assert_eq!(endpoint.in_flight(), 0);
}

#[test]
fn another_server_takes_over() {
    let (broken, good) = (StandIn::start(vec![Act::Close; 99]), StandIn::start([]));
    let both =
        [&broken, &good].map(|server| Endpoint::new(EndpointConfig { tries: 2, ..config(server) }).unwrap());
    let endpoints = Endpoints::new(both.into()).unwrap();
    for number in 0..4 {
        endpoints.ask(&Question::new("test", format!("{number}?"))).unwrap();
    }
    assert_eq!((broken.asked().len(), good.asked().len()), (2, 4), "one that does not answer is left alone");
    let other = Endpoint::new(EndpointConfig { model: "n".to_owned(), ..config(&good) }).unwrap();
    let error = Endpoints::new(vec![endpoint(&good), other]).unwrap_err().to_string();
    assert!(error.contains("has the model n"), "{error}");
}

#[test]
fn a_server_is_asked_what_it_can_do() {
    let server = StandIn::start([Act::Say("yes"), Act::Say("no"), Act::Say("no"), Act::Status(400, None)]);
    let found = endpoint(&server).probe().unwrap();
    assert_eq!((found.models.len(), found.context), (2, Some(4096)));
    assert!(found.no_schema.is_some(), "it never answered in the form asked for");
    let fault = found.no_images.expect("it refused an image");
    assert!(fault.contains("400"), "{fault}");
    assert!(found.no_clips.is_none());
    let absent = EndpointConfig { model: "absent".to_owned(), ..config(&server) };
    let fault = Endpoint::new(absent).unwrap().probe().unwrap_err().to_string();
    assert!(fault.contains("absent") && fault.contains("other"), "{fault}");
}

#[test]
fn settings_that_cannot_be_meant_are_named() {
    let server = StandIn::start([]);
    let complain = |config: EndpointConfig| Endpoint::new(config).unwrap_err().to_string();
    assert!(complain(EndpointConfig::new("localhost:8000", "m")).contains("http://"));
    assert!(complain(EndpointConfig { in_flight: 0, ..config(&server) }).contains("in_flight"));
    assert!(complain(EndpointConfig { deadline_s: f64::NAN, ..config(&server) }).contains("deadline_s"));
    let key_env = Some("STREFER_NO_SUCH_KEY".to_owned());
    assert!(complain(EndpointConfig { key_env, ..config(&server) }).contains("STREFER_NO_SUCH_KEY"));
    if !cfg!(feature = "tls") {
        assert!(complain(EndpointConfig::new("https://host/v1", "m")).contains("tls"));
    }
    // Every machine has a PATH.
    let with_key = EndpointConfig { key_env: Some("PATH".to_owned()), ..config(&server) };
    Endpoint::new(with_key).unwrap().ask(&question()).unwrap();
    assert_eq!(server.key(), Some(format!("Bearer {}", std::env::var("PATH").unwrap())));

    let small = EndpointConfig { largest_question_mb: 1e-4, ..config(&server) };
    let fault = Endpoint::new(small).unwrap().ask(&question()).unwrap_err();
    assert!(matches!(fault, Fault::TooLarge { limit: 100, .. }), "{fault}");
    let wrong = Question { schema: Some(json!({ "type": "thing" })), ..question() };
    assert!(endpoint(&server).ask(&wrong).unwrap_err().to_string().contains("schema"));
}

#[test]
fn a_question_says_how_its_answer_is_drawn_and_what_it_costs() {
    let server = StandIn::start([]);
    let price = Price { prompt: 2.0, completion: 10.0 };
    let endpoint = Endpoint::new(EndpointConfig { price, ..config(&server) }).unwrap();
    let sampling = Sampling { max_tokens: 7, temperature: 0.5, top_p: 0.9, seed: 3 };
    let asked = Question { system: Some("Be short.".to_owned()), sampling, ..question() };
    let answer = endpoint.ask(&asked).unwrap();
    assert!((endpoint.cost(answer.usage) - 60e-6).abs() < 1e-12);
    let body = &server.asked()[0];
    assert_eq!((&body["max_tokens"], &body["seed"], &body["model"]), (&json!(7), &json!(3), &json!("m")));
    assert_eq!(body["messages"][0]["content"], "Be short.");
    assert!(body.get("response_format").is_none());
}
