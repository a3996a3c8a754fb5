//! Answers in JSON.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::problem::{Problem, ProblemKind};

/// A value, answered as JSON and a line break, so that what follows on a terminal stands on a line of its own.
#[derive(Debug)]
pub(crate) struct Answered<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Answered<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(mut json) => {
                json.push(b'\n');
                ([(header::CONTENT_TYPE, "application/json")], json).into_response()
            }
            Err(error) => {
                let detail = format!("the answer has no JSON form: {error}");
                Problem::new(ProblemKind::Internal, detail).into_response()
            }
        }
    }
}
