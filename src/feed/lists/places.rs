//! Countries and continents: what an owner may name, and what a name stands for. A table and nothing else; the letters
//! are those of ISO 3166.

use crate::nearest;
use crate::options::value::{Checked, refuse};

/// Continents: name in the configuration, name for people, countries as `LETTERS NAME`, one a line.
const CONTINENTS: [(&str, &str, &str); 7] = [
    (
        "africa",
        "Africa",
        "dz Algeria\n\
         ao Angola\n\
         bj Benin\n\
         bw Botswana\n\
         bf Burkina Faso\n\
         bi Burundi\n\
         cm Cameroon\n\
         cv Cape Verde\n\
         cf Central African Republic\n\
         td Chad\n\
         km Comoros\n\
         cg Congo\n\
         cd Congo, Democratic Republic\n\
         ci Côte d'Ivoire\n\
         dj Djibouti\n\
         eg Egypt\n\
         gq Equatorial Guinea\n\
         er Eritrea\n\
         sz Eswatini\n\
         et Ethiopia\n\
         ga Gabon\n\
         gm Gambia\n\
         gh Ghana\n\
         gn Guinea\n\
         gw Guinea-Bissau\n\
         ke Kenya\n\
         ls Lesotho\n\
         lr Liberia\n\
         ly Libya\n\
         mg Madagascar\n\
         mw Malawi\n\
         ml Mali\n\
         mr Mauritania\n\
         mu Mauritius\n\
         yt Mayotte\n\
         ma Morocco\n\
         mz Mozambique\n\
         na Namibia\n\
         ne Niger\n\
         ng Nigeria\n\
         rw Rwanda\n\
         re Réunion\n\
         sn Senegal\n\
         sc Seychelles\n\
         sl Sierra Leone\n\
         so Somalia\n\
         za South Africa\n\
         ss South Sudan\n\
         sd Sudan\n\
         st São Tomé and Príncipe\n\
         tz Tanzania\n\
         tg Togo\n\
         tn Tunisia\n\
         ug Uganda\n\
         zm Zambia\n\
         zw Zimbabwe",
    ),
    ("antarctica", "Antarctica", "aq Antarctica"),
    (
        "asia",
        "Asia",
        "af Afghanistan\n\
         am Armenia\n\
         az Azerbaijan\n\
         bh Bahrain\n\
         bd Bangladesh\n\
         bt Bhutan\n\
         io British Indian Ocean Territory\n\
         bn Brunei\n\
         kh Cambodia\n\
         cn China\n\
         cy Cyprus\n\
         ge Georgia\n\
         hk Hong Kong\n\
         in India\n\
         id Indonesia\n\
         ir Iran\n\
         iq Iraq\n\
         il Israel\n\
         jp Japan\n\
         jo Jordan\n\
         kz Kazakhstan\n\
         kw Kuwait\n\
         kg Kyrgyzstan\n\
         la Laos\n\
         lb Lebanon\n\
         mo Macao\n\
         my Malaysia\n\
         mv Maldives\n\
         mn Mongolia\n\
         mm Myanmar\n\
         np Nepal\n\
         kp North Korea\n\
         om Oman\n\
         pk Pakistan\n\
         ps Palestine\n\
         ph Philippines\n\
         qa Qatar\n\
         sa Saudi Arabia\n\
         sg Singapore\n\
         kr South Korea\n\
         lk Sri Lanka\n\
         sy Syria\n\
         tw Taiwan\n\
         tj Tajikistan\n\
         th Thailand\n\
         tl Timor-Leste\n\
         tm Turkmenistan\n\
         tr Türkiye\n\
         ae United Arab Emirates\n\
         uz Uzbekistan\n\
         vn Vietnam\n\
         ye Yemen",
    ),
    (
        "europe",
        "Europe",
        "al Albania\n\
         ad Andorra\n\
         at Austria\n\
         by Belarus\n\
         be Belgium\n\
         ba Bosnia and Herzegovina\n\
         bg Bulgaria\n\
         hr Croatia\n\
         cz Czechia\n\
         dk Denmark\n\
         ee Estonia\n\
         fo Faroe Islands\n\
         fi Finland\n\
         fr France\n\
         de Germany\n\
         gi Gibraltar\n\
         gr Greece\n\
         gg Guernsey\n\
         hu Hungary\n\
         is Iceland\n\
         ie Ireland\n\
         im Isle of Man\n\
         it Italy\n\
         je Jersey\n\
         lv Latvia\n\
         li Liechtenstein\n\
         lt Lithuania\n\
         lu Luxembourg\n\
         mt Malta\n\
         md Moldova\n\
         mc Monaco\n\
         me Montenegro\n\
         nl Netherlands\n\
         mk North Macedonia\n\
         no Norway\n\
         pl Poland\n\
         pt Portugal\n\
         ro Romania\n\
         ru Russia\n\
         sm San Marino\n\
         rs Serbia\n\
         sk Slovakia\n\
         si Slovenia\n\
         es Spain\n\
         se Sweden\n\
         ch Switzerland\n\
         ua Ukraine\n\
         gb United Kingdom\n\
         va Vatican City\n\
         ax Åland",
    ),
    (
        "north_america",
        "North America",
        "ai Anguilla\n\
         ag Antigua and Barbuda\n\
         aw Aruba\n\
         bs Bahamas\n\
         bb Barbados\n\
         bz Belize\n\
         bm Bermuda\n\
         vg British Virgin Islands\n\
         ca Canada\n\
         bq Caribbean Netherlands\n\
         ky Cayman Islands\n\
         cr Costa Rica\n\
         cu Cuba\n\
         cw Curaçao\n\
         dm Dominica\n\
         do Dominican Republic\n\
         sv El Salvador\n\
         gl Greenland\n\
         gd Grenada\n\
         gp Guadeloupe\n\
         gt Guatemala\n\
         ht Haiti\n\
         hn Honduras\n\
         jm Jamaica\n\
         mq Martinique\n\
         mx Mexico\n\
         ms Montserrat\n\
         ni Nicaragua\n\
         pa Panama\n\
         pr Puerto Rico\n\
         bl Saint Barthélemy\n\
         kn Saint Kitts and Nevis\n\
         lc Saint Lucia\n\
         mf Saint Martin\n\
         pm Saint Pierre and Miquelon\n\
         vc Saint Vincent and the Grenadines\n\
         sx Sint Maarten\n\
         tt Trinidad and Tobago\n\
         tc Turks and Caicos Islands\n\
         vi US Virgin Islands\n\
         us United States",
    ),
    (
        "oceania",
        "Oceania",
        "as American Samoa\n\
         au Australia\n\
         ck Cook Islands\n\
         fj Fiji\n\
         pf French Polynesia\n\
         gu Guam\n\
         ki Kiribati\n\
         mh Marshall Islands\n\
         fm Micronesia\n\
         nr Nauru\n\
         nc New Caledonia\n\
         nz New Zealand\n\
         nu Niue\n\
         nf Norfolk Island\n\
         mp Northern Mariana Islands\n\
         pw Palau\n\
         pg Papua New Guinea\n\
         ws Samoa\n\
         sb Solomon Islands\n\
         tk Tokelau\n\
         to Tonga\n\
         tv Tuvalu\n\
         vu Vanuatu\n\
         wf Wallis and Futuna",
    ),
    (
        "south_america",
        "South America",
        "ar Argentina\n\
         bo Bolivia\n\
         br Brazil\n\
         cl Chile\n\
         co Colombia\n\
         ec Ecuador\n\
         fk Falkland Islands\n\
         gf French Guiana\n\
         gy Guyana\n\
         py Paraguay\n\
         pe Peru\n\
         sr Suriname\n\
         uy Uruguay\n\
         ve Venezuela",
    ),
];

/// Letters that people write for others.
const OTHERWISE: [(&str, &str); 2] = [("uk", "gb"), ("el", "gr")];

fn countries() -> impl Iterator<Item = (&'static str, &'static str)> {
    CONTINENTS.iter().flat_map(|(_, _, countries)| countries.lines()).filter_map(|line| line.split_once(' '))
}

/// A country's two letters or a continent, as the configuration may have it.
///
/// # Errors
/// There is no such place; the nearest are named.
pub fn place(text: &str) -> Checked<&'static str> {
    let mut word = text.to_ascii_lowercase();
    if let Some((_, letters)) = OTHERWISE.iter().find(|(known, _)| *known == word) {
        word = (*letters).to_owned();
    }
    let continents = || CONTINENTS.iter().map(|(word, ..)| *word);
    if let Some(known) = countries().map(|(letters, _)| letters).chain(continents()).find(|known| *known == word) {
        return Ok(known);
    }
    // Who writes two or three letters means letters, who writes more a name.
    let near = if word.len() > 3 {
        let names = countries().map(|(_, name)| name).chain(continents());
        nearest::ranked(&word, names).iter().map(|name| letters_of(name)).collect()
    } else {
        nearest::ranked(&word, countries().map(|(letters, _)| letters))
    };
    let near: Vec<String> = near.iter().map(|word| format!("{word} ({})", title(word))).collect();
    let near = near.join(", ");
    let message = format!(
        "is no country and no continent; nearest: {near}; write two letters such as cz, or a continent such as europe"
    );
    refuse(text, &message)
}

fn letters_of(name: &'static str) -> &'static str {
    countries().find(|(_, known)| *known == name).map_or(name, |(letters, _)| letters)
}

/// What people call it.
pub fn title(word: &str) -> &'static str {
    let continent = CONTINENTS.iter().find(|(known, ..)| *known == word).map(|(_, title, _)| *title);
    continent.or_else(|| countries().find(|(letters, _)| *letters == word).map(|(_, name)| name)).unwrap_or_default()
}

/// The letters of the countries that it stands for.
pub fn letters(word: &'static str) -> Vec<&'static str> {
    match CONTINENTS.iter().find(|(known, ..)| *known == word) {
        Some((_, _, countries)) => countries.lines().filter_map(|line| line.get(..2)).collect(),
        None => vec![word],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_country_is_once_there_and_none_is_called_like_a_continent() {
        let all: Vec<&str> = countries().map(|(letters, _)| letters).collect();
        assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (238, 238));
        assert!(all.iter().all(|letters| letters.len() == 2 && letters.bytes().all(|byte| byte.is_ascii_lowercase())));
        assert_eq!(CONTINENTS.iter().map(|(word, ..)| letters(word).len()).sum::<usize>(), 238);
        for (word, called, count) in [("cz", "Czechia", 1), ("europe", "Europe", 50), ("antarctica", "Antarctica", 1)] {
            assert_eq!((place(word).unwrap(), title(word), letters(word).len()), (word, called, count));
        }
        assert_eq!((place("CZ").unwrap(), place("uk").unwrap()), ("cz", "gb"));
    }

    /// LuCI has a table of its own, with sizes, of those that have networks.
    #[test]
    fn luci_knows_the_same_places() {
        let page = include_str!("../../../luci-app/htdocs/luci-static/resources/diswall/countries.js");
        let rows = page.lines().filter_map(|line| line.strip_prefix("\t[ '")?.split_once("', '"));
        let rows: Vec<_> = rows.filter(|(_, countries)| countries.contains(':')).collect();
        assert_eq!(rows.len(), CONTINENTS.len());
        for (continent, countries) in rows {
            let known = letters(place(continent).unwrap());
            for country in
                countries.split(' ').filter_map(|entry| entry.get(..2)).filter(|word| *word != "]," && *word != "]")
            {
                assert!(known.contains(&country), "{country} is not of {continent}");
            }
        }
    }

    #[test]
    fn a_country_that_is_none_is_refused_with_the_nearest() {
        for (text, near) in [
            ("czz", "cz (Czechia)"),
            ("Czech Republic", "cz (Czechia)"),
            ("Germny", "de (Germany)"),
            ("urope", "europe (Europe)"),
            ("", "nearest: "),
        ] {
            let said = place(text).unwrap_err().to_string();
            assert!(said.contains("is no country") && said.contains(near), "{text}: {said}");
        }
    }
}
