use std::os::unix::ffi::OsStringExt as _;

use super::*;
use crate::Settings;

fn source(pairs: &[(&str, &str)]) -> Source {
    let own = |(name, text): &(&str, &str)| (OsString::from(name), OsString::from(text));
    Source::environment(pairs.iter().map(own)).unwrap()
}

fn not_utf8() -> OsString {
    OsString::from_vec(vec![b'a', 0xff])
}

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn bytes_that_are_no_text_stop_the_start_under_a_listed_name_alone() {
    let foreign = [
        (OsString::from("LESSOPEN"), not_utf8()),
        (not_utf8(), OsString::from("x")),
        (OsString::from("PORT"), OsString::from("1")),
    ];
    let read = Source::environment(foreign).unwrap();
    assert_eq!(read.value("PORT").unwrap().as_deref(), Some("1"));
    for name in ["PORT", "JWT_SECRET", "JWT_SECRET_FILE", "NODE_ENV"] {
        let error = Source::environment([(OsString::from(name), not_utf8())]).err();
        let error = error.unwrap();
        assert!(
            matches!(&error, SettingsError::Malformed { name: of, .. } if of == name),
            "{error}"
        );
    }
}

#[test]
fn an_empty_file_and_an_empty_name_of_a_file_are_unset() {
    let folder = tempfile::tempdir().unwrap();
    let empty = file(&folder, "empty", "");
    let blank = file(&folder, "blank", "\n");
    for path in ["", &empty, &blank] {
        let read = source(&[("JWT_SECRET", ""), ("JWT_SECRET_FILE", path)]);
        assert_eq!(read.value("JWT_SECRET").unwrap(), None, "{path}");
        // What is unset hides nothing.
        let dotenv = source(&[("JWT_SECRET", "below")]);
        let settings = Settings::from_sources(&read, &dotenv).unwrap();
        assert_eq!(settings.text("JWT_SECRET"), Some("below"), "{path}");
    }
    let absent = folder.path().join("absent").display().to_string();
    let read = source(&[("JWT_SECRET_FILE", &absent)]);
    let error = read.value("JWT_SECRET").unwrap_err();
    assert!(error.to_string().contains("JWT_SECRET_FILE"), "{error}");
}

#[test]
fn a_secret_ends_before_its_line_end_wherever_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "secret", "t0ken\r\n");
    let forms = [
        ("DISCORD_BOT_TOKEN", "t0ken\n"),
        ("DISCORD_BOT_TOKEN", "t0ken"),
        ("DISCORD_BOT_TOKEN_FILE", path.as_str()),
    ];
    for form in forms {
        let value = source(&[form]).value("DISCORD_BOT_TOKEN").unwrap();
        assert_eq!(value.as_deref(), Some("t0ken"), "{form:?}");
    }
    let blank = source(&[("DISCORD_BOT_TOKEN", "\n")]);
    assert_eq!(blank.value("DISCORD_BOT_TOKEN").unwrap(), None);
}

#[test]
fn the_environment_wins_over_dotenv_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "secret", "of a file");
    let absent = folder.path().join("absent").display().to_string();
    let plain = |text| ("JWT_SECRET", text);
    let named = |path| ("JWT_SECRET_FILE", path);
    let cases = [
        (vec![plain("of the environment")], vec![named(&*path)]),
        // What is hidden is not even read.
        (vec![plain("of the environment")], vec![named(&*absent)]),
        (
            vec![plain("of the environment"), named(&*absent)],
            Vec::new(),
        ),
        (vec![named(&*path)], vec![plain("of .env")]),
        (vec![plain("")], vec![plain("of .env"), named(&*path)]),
    ];
    let expected = [
        "of the environment",
        "of the environment",
        "of the environment",
        "of a file",
        "of .env",
    ];
    for ((environment, dotenv), expected) in cases.into_iter().zip(expected) {
        let settings = Settings::from_sources(&source(&environment), &source(&dotenv)).unwrap();
        let value = settings.text("JWT_SECRET");
        assert_eq!(value, Some(expected), "{environment:?} {dotenv:?}");
    }
    let (environment, dotenv) = ([("NODE_ENV", "test")], [("APP_ENV", "production")]);
    let settings = Settings::from_sources(&source(&environment), &source(&dotenv)).unwrap();
    assert_eq!(settings.text("APP_ENV"), Some("test"));
    let both = source(&[("NODE_ENV", "test"), ("APP_ENV", "production")]);
    assert_eq!(
        both.value("APP_ENV").unwrap().as_deref(),
        Some("production")
    );
}

#[test]
fn dotenv_may_be_missing_but_not_unreadable_or_malformed() {
    let folder = tempfile::tempdir().unwrap();
    let read = |path: &str| Source::dotenv(Path::new(path));
    let absent = folder.path().join("absent").display().to_string();
    assert!(read(&absent).unwrap().texts.is_empty());

    let good = "\u{feff}PORT=4001\n# a comment\nexport NATS_PORT=tcp://x\n";
    let good = read(&file(&folder, "good", good)).unwrap();
    assert_eq!(good.value("PORT").unwrap().as_deref(), Some("4001"));
    assert_eq!(good.texts.len(), 1);

    let malformed = read(&file(&folder, "malformed", "PORT=1\nJWT_SECRET='s3cret\n"));
    let malformed = malformed.err().unwrap();
    assert!(matches!(malformed, SettingsError::Malformed { .. }));
    assert!(!format!("{malformed:?}").contains("s3cret"));

    // A folder, as a container runtime makes of a missing file, and bytes that are no text.
    let folder_itself = read(&folder.path().display().to_string()).err().unwrap();
    assert!(matches!(folder_itself, SettingsError::Dotenv(_)));
    let path = folder.path().join("bytes");
    std::fs::write(&path, b"PORT=\xff\n").unwrap();
    let bytes = Source::dotenv(&path).err().unwrap();
    assert!(matches!(bytes, SettingsError::Dotenv(_)), "{bytes}");
}

#[test]
fn a_malformed_file_is_named_with_its_place_and_without_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        &folder,
        "settings.toml",
        "port = 1\njwt_secret = \"s3cret\n",
    );
    let error = Source::file(Path::new(&path)).err().unwrap();
    let shown = format!("{error} {error:?}");
    assert!(
        shown.contains("CONFIG_FILE") && shown.contains("line 2"),
        "{shown}"
    );
    assert!(!shown.contains("s3cret"), "{shown}");
}
