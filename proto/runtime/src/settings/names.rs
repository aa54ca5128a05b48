//! The complete list of settings (contract.md §4).

/// Every setting that exists.
pub const NAMES: &[&str] = &[
    "APP_ENV",
    "AUTH_REDIRECT",
    "CONFIG_FILE",
    "CONNECTIONS_PER_ADDRESS_MAX",
    "CONNECTIONS_PER_USER_MAX",
    "CONNECT_RATE_PER_ADDRESS",
    "DATABASE_URL",
    "DATA_DIR",
    "DISCORD_API_URL",
    "DISCORD_BOT_TOKEN",
    "DISCORD_CDN_URL",
    "DISCORD_CLIENT_ID",
    "DISCORD_CLIENT_SECRET",
    "DISCORD_GATEWAY_URL",
    "DISCORD_OAUTH_URL",
    "DISCORD_REDIRECT_URI",
    "DISCORD_REFRESH_URLS",
    "DRAIN_SECONDS",
    "EMBED_ORIGINS",
    "FRONTEND_URL",
    "HISTORY_BACKFILL",
    "HISTORY_RETENTION_DAYS",
    "JWT_AUDIENCE",
    "JWT_EXPIRES_IN",
    "JWT_ISSUER",
    "JWT_JWKS_URL",
    "JWT_PRIVATE_KEY",
    "JWT_PUBLIC_KEY",
    "JWT_SECRET",
    "LOG_FORMAT",
    "METRICS_PORT",
    "NATS_CA_FILE",
    "NATS_CREDENTIALS_FILE",
    "NATS_URL",
    "OAUTH_EMAIL",
    "OPS_TOKEN",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "PEER_PORT",
    "PORT",
    "PUBLIC_URL",
    "PUBLISH_BUFFER_MAX",
    "RATE_LIMIT_MAX_REQUESTS",
    "RATE_LIMIT_WINDOW_MS",
    "RECOVERY_WINDOW_MS",
    "REDIS_URL",
    "RUST_LOG",
    "SHUTDOWN_GRACE_MS",
    "SOCKET_MAX_HTTP_BUFFER_SIZE",
    "SOCKET_PING_INTERVAL",
    "SOCKET_PING_TIMEOUT",
    "SOCKET_QUEUE_MAX",
    "STREAM_BOT_MESSAGES",
    "STREAM_DUPLICATE_WINDOW",
    "STREAM_EXCLUDE_CHANNELS",
    "STREAM_EXCLUDE_ROLES",
    "STREAM_EXCLUDE_USERS",
    "STREAM_MAX_AGE",
    "TRUSTED_PROXIES",
];

/// Those that may be given as `<NAME>_FILE` too: what must not stand in an environment that others can read.
pub const SECRETS: &[&str] = &[
    "DATABASE_URL",
    "DISCORD_BOT_TOKEN",
    "DISCORD_CLIENT_SECRET",
    "JWT_PRIVATE_KEY",
    "JWT_PUBLIC_KEY",
    "JWT_SECRET",
    "NATS_URL",
    "OPS_TOKEN",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "REDIS_URL",
];

/// How the names of OpenTelemetry's own settings begin. Those of them that are not in [`NAMES`] are not ours:
/// a file may hold them, and they mean nothing here.
pub(super) const STANDARD: &str = "OTEL_";

/// Other names of settings, each with the name that wins over it within one source.
pub(super) const ALIASES: &[(&str, &str)] = &[("NODE_ENV", "APP_ENV")];

/// What a setting's text must be, where not any text will do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// `true` or `false`.
    Flag,
    /// A TCP port.
    Port,
    /// A whole number.
    Number,
    /// A wait in whole seconds, a day at the most.
    Seconds,
    /// A wait in milliseconds, a day at the most; 0 only where it says so.
    Milliseconds { may_be_zero: bool },
    /// A time with a unit.
    Duration,
    /// A size.
    Bytes,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// Checked at the start of every service, whether it reads the setting or not: one `.env` may serve several.
pub(super) const KINDS: &[(&str, Kind)] = &[
    ("AUTH_REDIRECT", Kind::Word(&["fragment", "query"])),
    ("CONNECTIONS_PER_ADDRESS_MAX", Kind::Number),
    ("CONNECTIONS_PER_USER_MAX", Kind::Number),
    ("CONNECT_RATE_PER_ADDRESS", Kind::Number),
    ("DISCORD_REFRESH_URLS", Kind::Flag),
    ("DRAIN_SECONDS", Kind::Seconds),
    ("HISTORY_BACKFILL", Kind::Number),
    ("HISTORY_RETENTION_DAYS", Kind::Number),
    ("JWT_EXPIRES_IN", Kind::Duration),
    ("LOG_FORMAT", Kind::Word(&["text", "json"])),
    ("METRICS_PORT", Kind::Port),
    ("OAUTH_EMAIL", Kind::Flag),
    ("PEER_PORT", Kind::Port),
    ("PORT", Kind::Port),
    ("PUBLISH_BUFFER_MAX", Kind::Bytes),
    ("RATE_LIMIT_MAX_REQUESTS", Kind::Number),
    (
        "RATE_LIMIT_WINDOW_MS",
        Kind::Milliseconds { may_be_zero: false },
    ),
    (
        "RECOVERY_WINDOW_MS",
        Kind::Milliseconds { may_be_zero: true },
    ),
    (
        "SHUTDOWN_GRACE_MS",
        Kind::Milliseconds { may_be_zero: true },
    ),
    ("SOCKET_MAX_HTTP_BUFFER_SIZE", Kind::Bytes),
    (
        "SOCKET_PING_INTERVAL",
        Kind::Milliseconds { may_be_zero: false },
    ),
    (
        "SOCKET_PING_TIMEOUT",
        Kind::Milliseconds { may_be_zero: false },
    ),
    ("SOCKET_QUEUE_MAX", Kind::Bytes),
    ("STREAM_BOT_MESSAGES", Kind::Flag),
    ("STREAM_DUPLICATE_WINDOW", Kind::Duration),
    ("STREAM_MAX_AGE", Kind::Duration),
];
