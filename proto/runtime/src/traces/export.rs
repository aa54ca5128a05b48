//! Where spans go and which: the standard's settings
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>), from wherever settings come.
//!
//! The `_TRACES_` form of a setting wins. The limits of a span (`OTEL_SPAN_*`) and the compression the SDK
//! reads by itself, from the environment alone.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfig, BatchConfigBuilder, Sampler};
use percent_encoding::percent_decode_str;

use crate::settings::{Settings, SettingsError, malformed};

/// The standard's default of `OTEL_EXPORTER_OTLP_TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of an export.
pub(super) struct Export {
    /// The setting that the endpoint was given by.
    pub(super) name: &'static str,
    /// With its scheme: `http://collector:4317`.
    pub(super) endpoint: String,
    /// What each request carries; may be secret.
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    /// The authority that the receiver's certificate is from, as PEM; the public ones where there is none.
    pub(super) certificate: Option<Vec<u8>>,
    pub(super) sampler: Sampler,
    pub(super) batch: BatchConfig,
    pub(super) resource: Resource,
}

impl Export {
    /// What is asked for; none if nothing is to be exported.
    pub(super) fn read(
        settings: &Settings,
        service: &'static str,
    ) -> Result<Option<Self>, SettingsError> {
        let endpoint = either(settings, ENDPOINT);
        // The standard's words: anything but "true" is false.
        let is_disabled = settings.text("OTEL_SDK_DISABLED");
        let is_disabled = is_disabled.is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let Some((name, endpoint)) = endpoint.filter(|_| !is_disabled) else {
            return Ok(None);
        };
        match settings.text("OTEL_TRACES_EXPORTER") {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(_) => return Err(malformed("OTEL_TRACES_EXPORTER", "otlp or none")),
        }
        if let Some((name, protocol)) = either(settings, PROTOCOL)
            && protocol != "grpc"
        {
            return Err(malformed(name, "grpc"));
        }
        Ok(Some(Self {
            name,
            endpoint: address(name, endpoint)?,
            headers: headers(settings)?,
            timeout: timeout(settings)?,
            certificate: certificate(settings)?,
            sampler: sampler(settings)?,
            batch: batch(settings)?,
            resource: resource(settings, service)?,
        }))
    }

    /// It goes over TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.endpoint.starts_with("https://")
    }
}

/// A setting's form for traces alone, and its general one.
type Forms = [&'static str; 2];

const ENDPOINT: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const PROTOCOL: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const HEADERS: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS",
];
const TIMEOUTS: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
];
const CERTIFICATE: Forms = [
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
];

fn either(settings: &Settings, forms: Forms) -> Option<(&'static str, &str)> {
    let mut texts = forms.into_iter().map(|name| (name, settings.text(name)));
    texts.find_map(|(name, text)| Some((name, text?)))
}

fn address(name: &'static str, text: &str) -> Result<String, SettingsError> {
    let expected = "an address such as http://host:4317 (or https)";
    let uri: Uri = text.parse().map_err(|_| malformed(name, expected))?;
    let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_known || uri.host().is_none_or(str::is_empty) {
        return Err(malformed(name, expected));
    }
    Ok(text.to_owned())
}

fn headers(settings: &Settings) -> Result<HeaderMap, SettingsError> {
    let mut headers = HeaderMap::new();
    let Some((name, text)) = either(settings, HEADERS) else {
        return Ok(headers);
    };
    let wrong = || malformed(name, "header=value, separated by commas");
    for (key, value) in pairs(text, wrong)? {
        let key = HeaderName::try_from(key).map_err(|_| wrong())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.append(key, value);
    }
    Ok(headers)
}

fn timeout(settings: &Settings) -> Result<Duration, SettingsError> {
    match either(settings, TIMEOUTS) {
        Some((name, _)) => milliseconds(settings, name, TIMEOUT),
        None => Ok(TIMEOUT),
    }
}

fn milliseconds(
    settings: &Settings,
    name: &'static str,
    default: Duration,
) -> Result<Duration, SettingsError> {
    let time = settings.milliseconds(name, default)?;
    let is_good = (Duration::from_millis(1)..=Duration::from_hours(24)).contains(&time);
    is_good
        .then_some(time)
        .ok_or_else(|| malformed(name, "milliseconds, at least 1"))
}

fn certificate(settings: &Settings) -> Result<Option<Vec<u8>>, SettingsError> {
    let read = |(name, path): (&str, &str)| {
        std::fs::read(path).map_err(|source| SettingsError::File {
            name: name.to_owned(),
            source,
        })
    };
    either(settings, CERTIFICATE).map(read).transpose()
}

/// Who begins a trace decides; whoever continues it obeys.
fn sampler(settings: &Settings) -> Result<Sampler, SettingsError> {
    let ratio = || -> Result<Sampler, SettingsError> {
        let (name, expected) = ("OTEL_TRACES_SAMPLER_ARG", "a ratio from 0 to 1");
        let ratio: f64 = settings.parsed(name, expected)?.unwrap_or(1.0);
        let is_ratio = (0.0..=1.0).contains(&ratio);
        is_ratio
            .then_some(Sampler::TraceIdRatioBased(ratio))
            .ok_or_else(|| malformed(name, expected))
    };
    let parent = |root| Sampler::ParentBased(Box::new(root));
    Ok(match settings.text("OTEL_TRACES_SAMPLER") {
        None | Some("parentbased_always_on") => parent(Sampler::AlwaysOn),
        Some("always_on") => Sampler::AlwaysOn,
        Some("always_off") => Sampler::AlwaysOff,
        Some("traceidratio") => ratio()?,
        Some("parentbased_always_off") => parent(Sampler::AlwaysOff),
        Some("parentbased_traceidratio") => parent(ratio()?),
        Some(_) => {
            let expected = "always_on, always_off, traceidratio, or parentbased_ and one of them";
            return Err(malformed("OTEL_TRACES_SAMPLER", expected));
        }
    })
}

fn batch(settings: &Settings) -> Result<BatchConfig, SettingsError> {
    let size = |name: &'static str, default: usize| {
        let size = settings.number(name, default)?;
        let is_some = size > 0;
        is_some
            .then_some(size)
            .ok_or_else(|| malformed(name, "more than 0"))
    };
    // The defaults are the standard's.
    let queue = size("OTEL_BSP_MAX_QUEUE_SIZE", 2_048)?;
    let most = size("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)?;
    let delay = Duration::from_secs(5);
    let delay = milliseconds(settings, "OTEL_BSP_SCHEDULE_DELAY", delay)?;
    Ok(BatchConfigBuilder::default()
        .with_max_queue_size(queue)
        .with_max_export_batch_size(most)
        .with_scheduled_delay(delay)
        .build())
}

/// What the spans are of: our own words, then `OTEL_RESOURCE_ATTRIBUTES`, then `OTEL_SERVICE_NAME`.
fn resource(settings: &Settings, service: &'static str) -> Result<Resource, SettingsError> {
    let mut own = vec![
        KeyValue::new("service.name", service),
        KeyValue::new("service.namespace", "discord-stream"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new(
            "service.instance.id",
            format!("{:032x}", rand::random::<u128>()),
        ),
    ];
    let name = "OTEL_RESOURCE_ATTRIBUTES";
    let wrong = || malformed(name, "key=value, separated by commas");
    let said = pairs(settings.text(name).unwrap_or_default(), wrong)?;
    own.extend(
        said.into_iter()
            .map(|(key, value)| KeyValue::new(key, value)),
    );
    if let Some(name) = settings.text("OTEL_SERVICE_NAME") {
        own.push(KeyValue::new("service.name", name.to_owned()));
    }
    // Of one key the last is kept.
    Ok(Resource::builder_empty().with_attributes(own).build())
}

/// `key=value,key=value`, each value percent-encoded where it must be (W3C Baggage's form).
fn pairs(
    text: &str,
    wrong: impl Fn() -> SettingsError,
) -> Result<Vec<(String, String)>, SettingsError> {
    let parts = text.split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (key, value) = part.split_once('=').ok_or_else(&wrong)?;
        let value = percent_decode_str(value.trim()).decode_utf8();
        let value = value.map_err(|_| wrong())?.into_owned();
        Ok((key.trim().to_owned(), value))
    };
    parts.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &str)]) -> Result<Option<Export>, SettingsError> {
        let mut settings = Settings::default();
        for (name, value) in pairs {
            settings.set(name, *value);
        }
        Export::read(&settings, "fanout")
    }

    fn export(pairs: &[(&'static str, &str)]) -> Export {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        read(&[&[endpoint], pairs].concat()).unwrap().unwrap()
    }

    fn word(resource: &Resource, key: &'static str) -> String {
        let key = opentelemetry::Key::from_static_str(key);
        resource
            .get(&key)
            .map_or_else(String::new, |value| value.to_string())
    }

    #[test]
    fn nothing_is_exported_unless_an_endpoint_is_set_and_nothing_is_switched_off() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:4317");
        assert!(read(&[]).unwrap().is_none());
        assert!(
            read(&[("OTEL_TRACES_SAMPLER", "nonsense")])
                .unwrap()
                .is_none()
        );
        for off in [
            ("OTEL_SDK_DISABLED", "TRUE"),
            ("OTEL_TRACES_EXPORTER", "none"),
        ] {
            assert!(read(&[endpoint, off]).unwrap().is_none(), "{off:?}");
        }
        for on in [
            ("OTEL_SDK_DISABLED", "1"),
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ] {
            assert!(read(&[endpoint, on]).unwrap().is_some(), "{on:?}");
        }
    }

    #[test]
    fn the_form_for_traces_wins_over_the_general_one() {
        let read = export(&[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces:4317"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                "Api-Key=k%20ey, other=b=c",
            ),
        ]);
        assert_eq!(read.endpoint, "https://traces:4317");
        assert!(read.is_secure());
        assert_eq!(read.timeout, Duration::from_millis(250));
        assert_eq!(read.headers.len(), 2);
        assert_eq!(read.headers["api-key"], "k ey");
        assert_eq!(read.headers["other"], "b=c");
    }

    #[test]
    fn the_resource_is_ours_until_the_settings_say_otherwise() {
        let own = export(&[]).resource;
        assert_eq!(word(&own, "service.name"), "fanout");
        assert_eq!(word(&own, "service.instance.id").len(), 32);
        let said = (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=a%2Cb,service.name=x",
        );
        let told = export(&[said]).resource;
        assert_eq!(word(&told, "service.name"), "x");
        assert_eq!(word(&told, "deployment.environment.name"), "a,b");
        let named = export(&[said, ("OTEL_SERVICE_NAME", "edge")]).resource;
        assert_eq!(word(&named, "service.name"), "edge");
    }

    #[test]
    fn the_sampler_is_the_one_that_is_named() {
        let table = [
            (None, None, "ParentBased(AlwaysOn)"),
            (Some("always_off"), None, "AlwaysOff"),
            (
                Some("traceidratio"),
                Some("0.25"),
                "TraceIdRatioBased(0.25)",
            ),
            (
                Some("parentbased_traceidratio"),
                None,
                "ParentBased(TraceIdRatioBased(1.0))",
            ),
        ];
        for (name, argument, expected) in table {
            let name = name.map(|name| ("OTEL_TRACES_SAMPLER", name));
            let argument = argument.map(|text| ("OTEL_TRACES_SAMPLER_ARG", text));
            let pairs: Vec<_> = name.into_iter().chain(argument).collect();
            assert_eq!(format!("{:?}", export(&pairs).sampler), expected);
        }
    }

    #[test]
    fn what_is_malformed_is_named_and_not_shown() {
        let table = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=s3c\nret"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_SAMPLER", "xray"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
            ("OTEL_RESOURCE_ATTRIBUTES", "alone"),
        ];
        for (name, value) in table {
            let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:4317");
            let error = read(&[endpoint, (name, value)]).err().unwrap().to_string();
            let is_hidden = value.len() < 2 || !error.contains(value);
            assert!(error.contains(name) && is_hidden, "{error}");
        }
        let ratio = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:4317"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ];
        assert!(read(&ratio).is_err());
    }
}
