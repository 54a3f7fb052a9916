use crate::{Text, text};

/// The kind of a failure, as its caller needs to know it. The one place where HTTP statuses are written (RFC 9110
/// section 15, RFC 6585); everything else names a `Code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The request cannot be read at all: broken JSON, a repeated field, bad UTF-8.
    Malformed,
    /// The caller is not authenticated, or its credentials are not accepted.
    Unauthenticated,
    /// The caller may know that the thing exists, but not do this to it.
    Forbidden,
    /// There is no such thing, or the caller may not know of it.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The client was too slow in sending its request.
    RequestTimeout,
    /// The request contradicts the present state.
    Conflict,
    /// A precondition the client stated (`If-Match`) does not hold.
    PreconditionFailed,
    /// The body is larger than allowed.
    TooLarge,
    /// The body's media type is not one the endpoint reads.
    UnsupportedMediaType,
    /// The request can be read, but some of its values are not acceptable.
    Invalid,
    /// The caller has used up its allowance for now.
    TooManyRequests,
    /// The header section is larger than allowed.
    HeadersTooLarge,
    /// A bug in the server.
    Internal,
    /// Something we need is exhausted or away; the same request may succeed later.
    Unavailable,
    /// The storage is full.
    StorageFull,
}

impl Code {
    /// Every code, in the order of its status.
    pub const ALL: [Code; 16] = [
        Code::Malformed,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::RequestTimeout,
        Code::Conflict,
        Code::PreconditionFailed,
        Code::TooLarge,
        Code::UnsupportedMediaType,
        Code::Invalid,
        Code::TooManyRequests,
        Code::HeadersTooLarge,
        Code::Internal,
        Code::Unavailable,
        Code::StorageFull,
    ];

    /// The HTTP status code that says this.
    pub const fn status(self) -> u16 {
        match self {
            Code::Malformed => 400,
            Code::Unauthenticated => 401,
            Code::Forbidden => 403,
            Code::NotFound => 404,
            Code::MethodNotAllowed => 405,
            Code::RequestTimeout => 408,
            Code::Conflict => 409,
            Code::PreconditionFailed => 412,
            Code::TooLarge => 413,
            Code::UnsupportedMediaType => 415,
            Code::Invalid => 422,
            Code::TooManyRequests => 429,
            Code::HeadersTooLarge => 431,
            Code::Internal => 500,
            Code::Unavailable => 503,
            Code::StorageFull => 507,
        }
    }

    /// A short title, the same for every problem of this kind (RFC 9457 section 3.1.4).
    pub const fn title(self) -> Text {
        match self {
            Code::Malformed => text!("The request cannot be read"),
            Code::Unauthenticated => text!("Authentication is required"),
            Code::Forbidden => text!("Not allowed"),
            Code::NotFound => text!("Not found"),
            Code::MethodNotAllowed => text!("Method not allowed"),
            Code::RequestTimeout => text!("The request took too long to arrive"),
            Code::Conflict => text!("Conflict"),
            Code::PreconditionFailed => text!("A precondition does not hold"),
            Code::TooLarge => text!("The body is too large"),
            Code::UnsupportedMediaType => text!("Unsupported media type"),
            Code::Invalid => text!("The request is not valid"),
            Code::TooManyRequests => text!("Too many requests"),
            Code::HeadersTooLarge => text!("The headers are too large"),
            Code::Internal => text!("Internal error"),
            Code::Unavailable => text!("Temporarily unavailable"),
            Code::StorageFull => text!("Storage is full"),
        }
    }

    /// Whether the error is the server's, so that it is logged loudly.
    pub const fn is_server_fault(self) -> bool {
        self.status() >= 500
    }
}
