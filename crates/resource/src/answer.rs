//! What a resource's operations answer with, besides the rows.

use std::fmt;

use kernel::{ApiError, Code, ErrorDoc, Text, text};
use store::{StoreError, ViolationKind};
use web::Problem;

use crate::Spec;

/// What is said of a parameter that is not one.
pub(crate) const NO_PARAMETER: Text = text!("there is no such parameter here");

/// A failure of one resource, under the names its spec gives.
#[derive(Debug)]
pub(crate) struct ResourceError {
    code: Code,
    name: &'static str,
    message: Text,
}

impl fmt::Display for ResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

impl std::error::Error for ResourceError {}

impl ApiError for ResourceError {
    fn code(&self) -> Code {
        self.code
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn message(&self) -> Text {
        self.message.clone()
    }

    /// Each operation documents its own, by the spec's names.
    fn describe(_: &mut Vec<ErrorDoc>) {}
}

impl Spec {
    pub(crate) fn not_found(&self) -> Problem {
        let message =
            text!("There is no {name} with this id, or it is not yours to see.", name = Text::plain(self.name));
        ResourceError { code: Code::NotFound, name: self.not_found, message }.into()
    }

    pub(crate) fn not_found_doc(&self) -> ErrorDoc {
        ErrorDoc {
            code: Code::NotFound,
            name: self.not_found,
            meaning: "There is none with this id, or the caller may not see it.",
        }
    }

    pub(crate) fn conflict_doc(&self) -> ErrorDoc {
        ErrorDoc {
            code: Code::Conflict,
            name: self.conflict,
            meaning: "It contradicts something that is there already.",
        }
    }

    /// A broken constraint is the caller's doing where it is about other rows.
    pub(crate) fn store_problem(&self, error: StoreError) -> Problem {
        match error.violation().map(|v| v.kind) {
            Some(ViolationKind::Unique | ViolationKind::ForeignKey) => {
                let name = Text::plain(self.name);
                let message = text!("This {name} contradicts something that is there already.", name);
                ResourceError { code: Code::Conflict, name: self.conflict, message }.into()
            }
            _ => error.into(),
        }
    }
}
