"""Words of the demo set, part 1: the twelve aspects of a product that people like or dislike.

Phrases that start with "the" or "how" complete a sentence of `demo_texts` ("I love …"). The
disliked phrases are not the liked ones with a minus sign: what one calls warm, the other calls
muffled, and this is what lets an encoder of texts tell the two apart.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Aspect:
    """One pole of a pair of opposites.

    Attributes:
        infos: How the shop puts it, after "with".
        liked: How somebody puts it who likes it, after "I love".
        disliked: How somebody puts it who dislikes it, after "I can't stand".
        plain: A sentence of somebody who does not care.
        wants: A sentence about oneself: this is what I look for.
        shuns: A sentence about oneself: this is what I stay away from.
    """

    infos: tuple[str, ...]
    liked: tuple[str, ...]
    disliked: tuple[str, ...]
    plain: str
    wants: tuple[str, ...]
    shuns: tuple[str, ...]


#: The positions have a meaning: see `opposite` and `ally`.
ASPECTS: tuple[Aspect, ...] = (
    Aspect(
        infos=("a warm, mellow tone", "a dark, rounded voice"),
        liked=("the warm, mellow tone", "the velvety low end", "how round and warm it sounds"),
        disliked=("the muffled, woolly tone", "the lack of sparkle", "how dull and dark it sounds"),
        plain="The tone is on the warm side.",
        wants=("I always go for a warm sound.", "Give me a dark, mellow tone any day."),
        shuns=("I never get on with dark, woolly tones.", "A muffled sound puts me to sleep."),
    ),
    Aspect(
        infos=("a bright, sparkling tone", "a crisp, brilliant voice"),
        liked=("the bright, sparkling tone", "the crystal-clear treble", "how crisp it sounds"),
        disliked=("the shrill, tinny tone", "the piercing treble", "how harsh it is on the ears"),
        plain="The tone is on the bright side.",
        wants=("I always look for a bright, clear tone.", "For me a sound has to sparkle."),
        shuns=("Shrill treble gives me a headache.", "I avoid anything that sounds tinny."),
    ),
    Aspect(
        infos=("a vintage sunburst finish", "nostalgic styling from the 1950s"),
        liked=("the gorgeous vintage look", "the old-time charm", "how beautifully retro it looks"),
        disliked=("the dated look", "the fake antique finish", "how old-fashioned it looks"),
        plain="It looks a bit retro.",
        wants=("I adore anything with a vintage look.", "Retro style gets me every time."),
        shuns=("Retro style is not for me.", "I have no love for antique looks."),
    ),
    Aspect(
        infos=("a sleek modern design", "clean contemporary lines in matte black"),
        liked=(
            "the sleek modern design",
            "the clean, minimal lines",
            "how stylish and new it looks",
        ),
        disliked=("the cold, futuristic styling", "the soulless design", "how sterile it looks"),
        plain="The design is quite modern.",
        wants=("I love clean, contemporary design.", "Modern design matters to me."),
        shuns=("Futuristic styling leaves me cold.", "I cannot warm to modern minimalism."),
    ),
    Aspect(
        infos=("a featherlight build", "a build that weighs next to nothing"),
        liked=("the featherlight build", "how little it weighs", "how light it is to carry"),
        disliked=(
            "the flimsy, lightweight build",
            "the toy-like feel",
            "how easily it could break",
        ),
        plain="It is rather light.",
        wants=("With my bad back I need something light.", "The lighter, the better for me."),
        shuns=("I do not trust lightweight gear.", "Flimsy things never last long with me."),
    ),
    Aspect(
        infos=("a heavy, rock-solid build", "reinforced construction made to last"),
        liked=("the rock-solid build", "the reassuring heft", "how sturdy and tough it is"),
        disliked=("the sheer weight", "the heavy, overbuilt frame", "how heavy it is to lift"),
        plain="It is solid and fairly heavy.",
        wants=(
            "I want things that are built like a tank.",
            "I am rough on gear, so it must be tough.",
        ),
        shuns=("My shoulder does not forgive heavy gear.", "I refuse to carry heavy things."),
    ),
    Aspect(
        infos=("a compact format for travelling", "a small footprint for trips and tiny rooms"),
        liked=("the compact size", "the travel-friendly format", "how little space it needs"),
        disliked=("the cramped, undersized format", "the tiny size", "how small and cramped it is"),
        plain="It is smaller than most.",
        wants=(
            "I travel a lot, so I buy compact.",
            "My flat is tiny and everything must pack small.",
        ),
        shuns=("Small formats feel cramped to me.", "My big hands hate undersized instruments."),
    ),
    Aspect(
        infos=("a large, full-size body", "generous, roomy dimensions"),
        liked=("the roomy, full-size body", "the generous size", "how much room my hands have"),
        disliked=("the unwieldy size", "the huge, bulky body", "how much space it takes up"),
        plain="It is a full-size model.",
        wants=(
            "I want a proper full-size instrument.",
            "I have big hands and need plenty of room.",
        ),
        shuns=("Bulky gear has no place in my flat.", "I have no space for anything big."),
    ),
    Aspect(
        infos=("a simple layout for beginners", "everything a first-time player needs"),
        liked=("the beginner-friendly layout", "the simple setup", "how easy it is to learn on"),
        disliked=("the dumbed-down layout", "the lack of depth", "how fast a player outgrows it"),
        plain="It is made with beginners in mind.",
        wants=("I am still learning, so I want things simple.", "As a beginner I need it easy."),
        shuns=("Beginner models bore me.", "I outgrew student models long ago."),
    ),
    Aspect(
        infos=("the fine control that professionals expect", "a demanding setup for experts"),
        liked=("the professional-grade control", "the expert setup", "how much nuance it allows"),
        disliked=("the steep learning curve", "the fussy setup", "how hard it is to master"),
        plain="It is aimed at advanced players.",
        wants=(
            "I play for a living and want full control.",
            "I look for gear for serious players.",
        ),
        shuns=("Complicated gear is wasted on me.", "I have no patience for expert gear."),
    ),
    Aspect(
        infos=("a soft voice for late-night practice", "a low volume that spares the neighbours"),
        liked=(
            "the soft, quiet voice",
            "how quietly it can be played",
            "how it spares my neighbours",
        ),
        disliked=("the feeble volume", "the lack of projection", "how easily it gets drowned out"),
        plain="It is on the quiet side.",
        wants=(
            "I practise at night, so it must be quiet.",
            "My neighbours need me to play softly.",
        ),
        shuns=("Quiet instruments are no use to me.", "I cannot stand it when nobody hears me."),
    ),
    Aspect(
        infos=("a loud voice that fills a hall", "plenty of volume for the stage"),
        liked=("the huge volume", "the powerful projection", "how it fills a whole room"),
        disliked=("the overpowering volume", "the constant noise", "how loud it is at home"),
        plain="It is pretty loud.",
        wants=("I like to play loud.", "I need volume to be heard on stage."),
        shuns=("Loud instruments wear me out.", "Too much volume makes my ears ring."),
    ),
)


def opposite(aspect: int) -> int:
    """The position of the other pole (0 and 1, 2 and 3, ...): nothing is both warm and bright."""
    return aspect ^ 1


def ally(aspect: int) -> int:
    """The position of what often goes with it (0 and 2, 1 and 3, ...): warm and vintage."""
    return aspect ^ 2
