//! Every way in which the REST API says no, in Discord's JSON shape `{ message, code }`.
//! Codes and texts: <https://discord.com/developers/docs/topics/opcodes-and-status-codes#json>.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;

/// A refused request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("401: Unauthorized")]
    Unauthorized,
    #[error("404: Not Found")]
    NoRoute,
    #[error("Unknown Channel")]
    UnknownChannel,
    #[error("Unknown Guild")]
    UnknownGuild,
    #[error("Unknown Member")]
    UnknownMember,
    #[error("Unknown Message")]
    UnknownMessage,
    #[error("Unknown Overwrite")]
    UnknownOverwrite,
    #[error("Unknown Role")]
    UnknownRole,
    #[error("Unknown User")]
    UnknownUser,
    #[error("Unknown Emoji")]
    UnknownEmoji,
    #[error("Unknown Ban")]
    UnknownBan,
    #[error("Unknown Webhook")]
    UnknownWebhook,
    #[error("Invalid Webhook Token")]
    InvalidWebhookToken,
    #[error("Missing Access")]
    MissingAccess,
    #[error("Maximum number of pins reached (250)")]
    TooManyPins,
    #[error("Missing Permissions")]
    MissingPermissions,
    #[error("Cannot execute action on this channel type")]
    WrongChannelType,
    #[error("Cannot send an empty message")]
    EmptyMessage,
    #[error("You can only bulk delete messages that are under 14 days old and at most 100 of them")]
    BulkDelete,
    #[error("Request entity too large")]
    TooLarge,
    #[error("The maximum number of simultaneous loads is running")]
    TooManyLoads,
    /// The request's form is wrong; the text says where.
    #[error("Invalid Form Body: {0}")]
    Form(String),
}

impl Refusal {
    fn code(&self) -> u32 {
        match self {
            Self::Unauthorized | Self::NoRoute => 0,
            Self::UnknownChannel => 10_003,
            Self::UnknownGuild => 10_004,
            Self::UnknownMember => 10_007,
            Self::UnknownMessage => 10_008,
            Self::UnknownOverwrite => 10_009,
            Self::UnknownRole => 10_011,
            Self::UnknownUser => 10_013,
            Self::UnknownEmoji => 10_014,
            Self::UnknownWebhook => 10_015,
            Self::UnknownBan => 10_026,
            Self::TooManyPins => 30_003,
            Self::TooLarge => 40_005,
            Self::MissingAccess => 50_001,
            Self::InvalidWebhookToken => 50_027,
            Self::TooManyLoads => 30_001,
            Self::WrongChannelType => 50_024,
            Self::EmptyMessage => 50_006,
            Self::MissingPermissions => 50_013,
            Self::BulkDelete => 50_034,
            Self::Form(_) => 50_035,
        }
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Unauthorized | Self::InvalidWebhookToken => StatusCode::UNAUTHORIZED,
            Self::MissingPermissions | Self::MissingAccess => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyLoads => StatusCode::TOO_MANY_REQUESTS,
            Self::WrongChannelType
            | Self::EmptyMessage
            | Self::BulkDelete
            | Self::TooManyPins
            | Self::Form(_) => StatusCode::BAD_REQUEST,
            Self::NoRoute
            | Self::UnknownChannel
            | Self::UnknownGuild
            | Self::UnknownMember
            | Self::UnknownMessage
            | Self::UnknownOverwrite
            | Self::UnknownRole
            | Self::UnknownUser
            | Self::UnknownEmoji
            | Self::UnknownWebhook
            | Self::UnknownBan => StatusCode::NOT_FOUND,
        }
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code())
            .json(json!({ "message": self.to_string(), "code": self.code() }))
    }
}
