//! `diswall lists`: the catalogue of well-known lists, shown and switched on and off.

use std::path::PathBuf;

use super::arguments::Lists;
use super::{Failure, Outcome, config_path, exit, show, steer};
use crate::outside;
use crate::owner::catalogue::{self, Catalogue, Item, megabytes};
use crate::owner::steer::Steer;

/// The catalogue that is meant.
pub fn path(given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| PathBuf::from(catalogue::PATH))
}

/// Does what the words say.
pub fn run(command: Lists) -> Outcome {
    let Lists { config, catalogue, json, force, enable, words } = command;
    let path = path(catalogue);
    let (what, names) = words.split_first().map_or(("", &[][..]), |(what, names)| (what.as_str(), names));
    if let "enable" | "disable" = what {
        return steer(config, |steer| steer.switch(&path, names, what == "enable", force));
    }
    let (mut catalogue, _) = Steer::new(&config_path(config.clone())).catalogue(&path)?;
    match (what, names) {
        ("", []) => {}
        ("recommend", []) => {
            catalogue.lists.retain(|item| item.recommended);
            if catalogue.lists.is_empty() && !json {
                show::say("all that is recommended for this router is switched on");
                return Ok(exit::DONE);
            }
            if enable {
                let names: Vec<String> = catalogue.lists.into_iter().map(|item| item.name).collect();
                return steer(config, |steer| steer.switch(&path, &names, true, false));
            }
        }
        ("show", [name]) => {
            let item = catalogue.find(name).map_err(|text| Failure { status: exit::NO, text })?;
            match json {
                true => show::json(item),
                false => describe(item),
            }
            return Ok(exit::DONE);
        }
        _ => {
            let text = "usage: diswall lists, lists show NAME, lists enable|disable NAME…, lists recommend [--enable]";
            return Err(Failure::usage(text));
        }
    }
    match json {
        true => show::json(&catalogue),
        false => {
            table(&catalogue);
            show::say(match what {
                "recommend" => "all of these are switched on with: diswall lists recommend --enable",
                _ => "more about one: diswall lists show NAME; switched on with: diswall lists enable NAME…",
            });
        }
    }
    Ok(exit::DONE)
}

fn table(catalogue: &Catalogue) {
    show::say(&row(["name", "", "addresses", "networks", "memory", "risk", "title"]));
    let figure = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    for item in &catalogue.lists {
        let (hosts, networks) = (figure(item.hosts), figure(item.networks));
        let memory = item.memory.map_or_else(|| "?".to_owned(), megabytes);
        let on = match (item.enabled, item.recommended, &item.refusal) {
            (true, ..) => "on",
            (_, true, _) => "*",
            (_, _, Some(_)) => "!",
            _ => "",
        };
        let line = row([&item.name, on, &hosts, &networks, &memory, &item.risk, &item.title]);
        show::say(&outside::clean(&line, outside::SENTENCE));
    }
    let (free, room) = (megabytes(catalogue.memory_free), catalogue.room);
    show::say(&format!(
        "* recommended for this router   ! does not fit   ? known when it has been fetched\n\
         {free} of memory are free; max_entries leaves room for {room} entries, a network counting as two"
    ));
}

fn row([name, on, hosts, networks, memory, risk, title]: [&str; 7]) -> String {
    format!("{name:<16}{on:<3}{hosts:>9} {networks:>8} {memory:>8}  {risk:<7}{title}")
}

fn describe(item: &Item) {
    let on = match (item.enabled, &item.refusal) {
        (true, _) => "on",
        (false, None) => "off",
        (false, Some(why)) => why,
    };
    let commercial = match item.commercial {
        Some(true) => "allowed",
        Some(false) => "not allowed",
        None => "unknown",
    };
    let ports = item.ports.join(", ");
    let rows = [
        ("title", item.title.as_str()),
        ("", &item.about),
        ("state", on),
        ("size", &item.size()),
        ("direction", &item.direction),
        ("ports", &ports),
        ("wrong hits", &item.risk),
        ("licence", &item.licence),
        ("commercial", commercial),
        ("fetched", &["every ", &item.interval].concat()),
        ("home", &item.home),
        ("address", &item.url),
    ];
    let also = item.also.iter().map(|url| ("", url.as_str()));
    for (name, text) in rows.into_iter().chain(also).filter(|(_, text)| !text.is_empty()) {
        show::say(&format!("{name:<12}{}", outside::clean(text, outside::SENTENCE)));
    }
}
