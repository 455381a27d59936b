//! The words that random user names are made of: short, plain, lower case, nothing that offends in front of each other.

/// How it is.
pub(super) const ADJECTIVES: &[&str] = &[
    "agile", "airy", "amber", "ample", "aqua", "arctic", "autumn", "azure", "basic", "bold", "brave",
    "breezy", "brief", "bright", "brisk", "broad", "bronze", "busy", "calm", "candid", "careful", "cheerful",
    "chief", "civic", "classic", "clean", "clear", "clever", "cool", "copper", "coral", "cosmic", "cozy",
    "crisp", "curious", "daily", "dapper", "deep", "direct", "eager", "early", "earnest", "easy", "elegant",
    "exact", "fair", "famous", "fancy", "fast", "fine", "firm", "fleet", "fluent", "fond", "frank", "free",
    "fresh", "friendly", "gentle", "giant", "glad", "golden", "grand", "great", "green", "handy", "happy",
    "hardy", "honest", "humble", "ideal", "jolly", "keen", "kind", "large", "level", "light", "lively",
    "local", "lucid", "lucky", "lunar", "major", "mellow", "merry", "mild", "mint", "modern", "modest",
    "neat", "new", "nimble", "noble", "patient", "plain", "pleasant", "polite", "prime", "proud", "quick",
    "quiet", "rapid", "ready", "regal", "round", "royal", "sharp",
];

/// What it is.
pub(super) const NOUNS: &[&str] = &[
    "acorn", "anchor", "animal", "apple", "arrow", "atlas", "aurora", "badger", "bamboo", "banner", "basin",
    "beacon", "beaver", "berry", "birch", "bison", "branch", "breeze", "bridge", "brook", "cabin", "cactus",
    "canoe", "canyon", "cedar", "cello", "cherry", "cliff", "clover", "comet", "compass", "coral", "cove",
    "crane", "creek", "dolphin", "dune", "eagle", "echo", "ember", "falcon", "fern", "field", "finch",
    "fjord", "forest", "fossil", "fountain", "fox", "garden", "gecko", "geyser", "glacier", "grove",
    "harbor", "hazel", "heron", "hill", "island", "ivy", "jasper", "juniper", "kayak", "kestrel", "koala",
    "lagoon", "lake", "lantern", "lark", "laurel", "lemon", "lily", "lotus", "lynx", "maple", "marble",
    "meadow", "meteor", "moon", "moss", "nebula", "oak", "oasis", "ocean", "olive", "orbit", "orchid",
    "osprey", "otter", "owl", "panda", "pebble", "pine", "planet", "pond", "prairie", "puffin", "quartz",
];
