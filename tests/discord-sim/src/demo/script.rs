//! What is said in the demo: conversations by channel, one a paragraph, one line a message. Pure text.
//! A line begins with `>` to answer the one above, `~` to be corrected a moment later to what follows its ` => `, `-` to
//! be taken back, and before any of these with `+` inside the thread that a line above has opened. It ends with any of
//! `%image NAME`, `%embed TITLE; TEXT; LINK`, `%thread TITLE` and `%applause`. `\n` is a line break.

/// The conversations of a channel of this name.
pub(super) const TALK: [(&str, &str); 9] = [
    ("general", include_str!("talk/general.txt")),
    ("off-topic", include_str!("talk/off-topic.txt")),
    ("help", include_str!("talk/help.txt")),
    ("show-and-tell", include_str!("talk/show-and-tell.txt")),
    ("tools", include_str!("talk/tools.txt")),
    ("lounge", include_str!("talk/lounge.txt")),
    ("now-reading", include_str!("talk/now-reading.txt")),
    ("crew-room", include_str!("talk/crew-room.txt")),
    ("announcements", include_str!("talk/announcements.txt")),
];
/// What is said below the posts of a forum.
pub(super) const FORUM_TALK: &str = include_str!("talk/ideas.txt");

/// How a line is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner<'a> {
    Says,
    Answers,
    /// Corrected to this.
    Corrects(&'a str),
    TakesBack,
}

/// What comes with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extra<'a> {
    Image(&'a str),
    Embed {
        title: &'a str,
        text: &'a str,
        link: &'a str,
    },
    Thread(&'a str),
    Applause,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) is_in_thread: bool,
    pub(super) manner: Manner<'a>,
    pub(super) text: &'a str,
    pub(super) extras: Vec<Extra<'a>>,
}

/// The conversations of a script.
pub(super) fn conversations(script: &str) -> impl Iterator<Item = &str> {
    script
        .split("\n\n")
        .map(str::trim)
        .filter(|talk| !talk.is_empty())
}

/// Reads a line.
pub(super) fn parse(line: &str) -> Line<'_> {
    let mut parts = line.split(" %");
    let said = parts.next().unwrap_or_default();
    let extras = parts.filter_map(extra).collect();
    let (is_in_thread, said) = match said.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, said),
    };
    let (manner, text) =
        if let Some(text) = said.strip_prefix('>').filter(|text| !text.starts_with(' ')) {
            (Manner::Answers, text)
        } else if let Some(text) = said.strip_prefix('-').filter(|text| !text.starts_with(' ')) {
            (Manner::TakesBack, text)
        } else if let Some((wrong, right)) = said
            .strip_prefix('~')
            .and_then(|text| text.split_once(" => "))
        {
            (Manner::Corrects(right), wrong)
        } else {
            (Manner::Says, said)
        };
    Line {
        is_in_thread,
        manner,
        text,
        extras,
    }
}

fn extra(text: &str) -> Option<Extra<'_>> {
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    match name {
        "image" => Some(Extra::Image(rest)),
        "thread" => Some(Extra::Thread(rest)),
        "applause" => Some(Extra::Applause),
        "embed" => {
            let mut fields = rest.splitn(3, "; ");
            Some(Extra::Embed {
                title: fields.next()?,
                text: fields.next()?,
                link: fields.next()?,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_answers_corrects_or_takes_back() {
        for (line, manner, text) in [
            ("hello", Manner::Says, "hello"),
            (">hi", Manner::Answers, "hi"),
            ("> a quote", Manner::Says, "> a quote"),
            ("~teh => the", Manner::Corrects("the"), "teh"),
            ("~~gone~~ here", Manner::Says, "~~gone~~ here"),
            ("-oops", Manner::TakesBack, "oops"),
        ] {
            let parsed = parse(line);
            assert_eq!((parsed.manner, parsed.text), (manner, text), "{line}");
        }
    }

    #[test]
    fn a_line_may_be_in_a_thread_and_bring_something_along() {
        let line =
            parse("+>look %image a.png %embed T; some text; https://x %thread Plans %applause");
        assert!(line.is_in_thread);
        assert_eq!((line.manner, line.text), (Manner::Answers, "look"));
        let embed = Extra::Embed {
            title: "T",
            text: "some text",
            link: "https://x",
        };
        let extras = [
            Extra::Image("a.png"),
            embed,
            Extra::Thread("Plans"),
            Extra::Applause,
        ];
        assert_eq!(line.extras, extras);
    }

    #[test]
    fn no_line_of_any_script_is_empty_or_has_an_extra_that_nobody_knows() {
        let scripts = TALK.map(|(_, script)| script);
        for line in scripts
            .iter()
            .chain([&FORUM_TALK])
            .flat_map(|script| script.lines())
        {
            if line.trim().is_empty() {
                continue;
            }
            let parsed = parse(line);
            assert!(!parsed.text.trim().is_empty(), "{line:?}");
            assert_eq!(parsed.extras.len(), line.matches(" %").count(), "{line:?}");
        }
    }
}
