//! Words whose full stop belongs to them, and words that show that it does not.

/// In any case.
const ALWAYS: &str = "mon tue tues wed thu thurs fri jan feb mar apr jun jul aug sep sept oct nov dec co st ft gen sen \
    vs etc al inc corp ltd bros dept est ala ariz calif colo conn ct fla ga ind kans kan ky md mich minn mo mont neb nev \
    okla penn tenn va vt wis wyo ave blvd rd jr sr dr mr mrs ms prof rev hon lt col maj capt sgt gov rep pres ph mt cf esq \
    ext sq tel univ bldg messrs adj adm atty brig cmdr cpl comdr det insp lieut mme mlle pvt supt supts asst assn ph.d";

/// Written with a capital only: places that are words otherwise.
const CAPITALISED: &str = "Wash Miss Mass Ark Del Ill La Ore Pa Tex";

/// Before a number only.
const BEFORE_NUMBERS: &str = "no nos fig art op ca pp";

/// Words that begin a sentence when they stand between blanks.
const STARTERS: &str = "A About According Additionally After An As At But Earlier He Her Here However If In It Last Many \
    More Mr. Now Once One Other Our She Since So Some Such THE That The Their Then There These They This We What When \
    While Yet You";

fn lists(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|listed| listed == word)
}

/// Whether the full stop after `word` belongs to it, if `next` follows it: the next word after blanks, or
/// digits at once.
pub(super) fn keeps_stop(word: &str, next: &str) -> bool {
    let lower = word.to_lowercase();
    let number_follows = next.starts_with(|c: char| c.is_ascii_digit());
    is_acronym(word)
        || lists(ALWAYS, &lower)
        || lists(CAPITALISED, word)
        || (number_follows && lists(BEFORE_NUMBERS, &lower))
        || (is_letter(word) && !lists(STARTERS, next))
}

fn is_letter(text: &str) -> bool {
    text.chars().count() == 1 && text.chars().all(char::is_alphabetic)
}

/// Letters with full stops between them.
fn is_acronym(word: &str) -> bool {
    word.contains('.') && word.split('.').all(is_letter)
}
