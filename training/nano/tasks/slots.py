"""Words that fit the same place of a wording: `@name` there is one of SLOTS, and `@Name` the same with a capital."""

from __future__ import annotations

import re

SLOT = re.compile(r"@([A-Za-z]+)")
SLOTS: dict[str, tuple[str, ...]] = {
    "day": ("on Monday", "on Friday", "in May", "last week", "yesterday", "before noon", "in spring", "last year",
        "the first day", "in week one"),
    "later": ("on Tuesday", "on Saturday", "in June", "this week", "today", "after noon", "in autumn", "this year",
        "the second day", "in week two"),
    "then": ("then", "later", "after that", "next", "afterwards", "soon after", "an hour later", "some time later",
        "the day after", "in the end", "at night"),
    "someone": ("a friend", "an aunt", "a stranger", "the teacher", "a colleague", "a cousin", "the boss", "a guest",
        "a kid", "a neighbor", "grandma", "an old man"),
    "people": ("kids", "guests", "visitors", "students", "players", "workers", "tourists", "members", "fans", "pupils",
        "dancers", "hikers", "sailors", "singers"),
    "place": ("shop", "farm", "library", "school", "museum", "club", "factory", "camp", "hotel", "village", "bakery",
        "team", "garage", "cafe"),
    "heap": ("heap", "pile", "box", "stock", "collection", "basket", "chest", "shelf"),
    "box": ("box", "bag", "crate", "basket", "bucket", "jar", "drawer", "tray", "sack"),
    "boxes": ("boxes", "bags", "crates", "baskets", "buckets", "jars", "drawers", "trays", "sacks", "envelopes"),
    "vehicle": ("car", "train", "boat", "van", "scooter", "horse", "ship", "tractor", "drone", "tram"),
    "got": ("got", "received", "found", "collected", "bought", "gathered", "picked up", "won", "made", "was given",
        "caught", "earned", "took home", "ordered"),
    "lost": ("lost", "gave away", "sold", "used up", "threw away", "donated", "handed out", "misplaced", "dropped",
        "passed on", "broke", "mailed off", "traded away", "wasted"),
    "buys": ("buys", "takes", "orders", "gets", "picks", "needs", "wants", "chooses", "asks for", "pays for"),
    "gets": ("get{s}", "got", "receive{s}", "received", "buy{s}", "bought", "collect{s}", "find{s}", "win{s}", "won",
        "gather{s}", "haul{s} in", "pick{s} up", "pull{s} out", "order{s}"),
    "loses": ("lose{s}", "lost", "sell{s}", "sold", "give{s} away", "gave away", "use{s} up", "throw{s} out",
        "donate{s}", "misplace{s}", "hand{s} out", "trade{s} in", "ruin{s}", "waste{s}", "part{s} with"),
    "passes": ("give{s}", "gave", "hand{s}", "handed", "send{s}", "sent", "sell{s}", "sold", "mail{s}", "offer{s}",
        "lend{s}"),
    "brings": ("gives", "gave", "hands", "handed", "brings", "brought", "sends", "sent", "lends", "offers", "sells",
        "passes"),
    "removes": ("takes", "took", "grabs", "steals", "stole", "removes", "uses", "eats", "keeps", "hides", "breaks",
        "carries off"),
    "arrive": ("arrive", "come in", "are delivered", "are found", "turn up", "are put in", "are laid on top",
        "are brought", "are made", "follow", "join them", "are thrown in"),
    "vanish": ("vanish", "disappear", "get lost", "are stolen", "are thrown out", "crack", "rot", "are sold off",
        "are taken away", "fall down and break", "roll off", "are used up", "are handed out", "leave"),
}  # fmt: skip
