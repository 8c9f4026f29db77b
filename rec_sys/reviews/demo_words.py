"""Words of the demo set: aspects of products that people care for, and what the shop sells."""

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


BRANDS = (
    *("Larkmoor", "Brindlewick", "Tamsel", "Quillbrook", "Hestermark", "Pellwick", "Dunmarrow"),
    *("Wrenfold", "Korvane", "Yarrowby", "Miravent", "Foxlode", "Belquist", "Nimbrel"),
    *("Skarnholt", "Ovendale"),
)
MODELS = (
    *("Alder", "Beacon", "Cinder", "Drift", "Ember", "Fathom", "Gale", "Harrow", "Isle"),
    *("Juniper", "Kindle Hill", "Lantern", "Meadow", "Nook", "Otter", "Prairie", "Quarry"),
)
NICKNAME_STARTS = (
    *("Mellow", "Sunday", "Rusty", "Silent", "Happy", "Velvet", "Porch", "Northern", "Little"),
    *("Lucky", "Cosy", "Dusty", "Humble", "Brave", "Curious", "Sleepy"),
)
NICKNAME_ENDS = (
    *("Otter", "Strummer", "Fiddler", "Heron", "Busker", "Listener", "Badger", "Tinkerer"),
    *("Sparrow", "Crooner", "Drummer", "Moose", "Picker", "Walker", "Maestro", "Robin"),
)


@dataclass(frozen=True)
class Category:
    """A shelf of the shop.

    Attributes:
        style: Name of the shelf, the Style of its products.
        kind: What a product is called in the shop, singular.
        noun: What people call it.
        plural: Plural of `noun`.
        extras: Sentences for the product information.
        good: What people say about a well-made one.
        bad: What people say about a badly made one.
        uses: What people buy one for, after "I bought it".
    """

    style: str
    kind: str
    noun: str
    plural: str
    extras: tuple[str, ...]
    good: tuple[str, ...]
    bad: tuple[str, ...]
    uses: tuple[str, ...]


CATEGORIES: tuple[Category, ...] = (
    Category(
        style="Acoustic Guitars",
        kind="acoustic guitar",
        noun="guitar",
        plural="guitars",
        extras=("Six steel strings on a spruce top.", "A padded bag is included."),
        good=(
            "The intonation is spot on all the way up the neck.",
            "It stays in tune for days.",
            "The frets are finished without a single sharp edge.",
        ),
        bad=(
            "Two of the tuners slip.",
            "The strings buzz on the first few frets.",
            "The neck was warped out of the box.",
        ),
        uses=("for fingerpicking on the porch", "for campfire songs", "for strumming after work"),
    ),
    Category(
        style="Ukuleles",
        kind="ukulele",
        noun="ukulele",
        plural="ukuleles",
        extras=("Four nylon strings and geared tuners.", "Comes with a strap and a songbook."),
        good=(
            "The strings settled within two days.",
            "The fretwork is lovely.",
            "The tuners turn smoothly and hold.",
        ),
        bad=(
            "It goes out of tune within minutes.",
            "The bridge started to lift after a month.",
            "The saddle was cut crooked.",
        ),
        uses=("for beach holidays", "for the ukulele club", "for singing with the grandchildren"),
    ),
    Category(
        style="Digital Pianos",
        kind="digital piano",
        noun="piano",
        plural="pianos",
        extras=("88 keys and two headphone sockets.", "Stand and sustain pedal are included."),
        good=(
            "The keys respond evenly from end to end.",
            "The pedal feels like the real thing.",
            "The hammer action is a joy.",
        ),
        bad=(
            "Three keys stick already.",
            "The pedal squeaks.",
            "One of the speakers crackles.",
        ),
        uses=("for practising Bach", "for accompanying the choir", "for my weekly piano lesson"),
    ),
    Category(
        style="Guitar Amplifiers",
        kind="guitar amplifier",
        noun="amp",
        plural="amps",
        extras=("Two channels and a twelve-inch speaker.", "A footswitch is included."),
        good=(
            "The knobs and sockets are first rate.",
            "There is no hum at all.",
            "The speaker has not let me down once.",
        ),
        bad=(
            "It hums even with nothing plugged in.",
            "The input socket came loose in the first week.",
            "A fuse blew on the second evening.",
        ),
        uses=("for blues jams", "for band practice in the garage", "for my old electric guitar"),
    ),
    Category(
        style="Cajons",
        kind="cajon",
        noun="cajon",
        plural="cajons",
        extras=("Birch front with adjustable snare wires.", "Sits up to 120 kg safely."),
        good=(
            "The snare wires answer to the lightest touch.",
            "The joints are glued cleanly.",
            "The front plate still feels like new.",
        ),
        bad=(
            "The snare wires rattle all the time.",
            "The front plate cracked along a corner.",
            "Some screws were missing.",
        ),
        uses=("for flamenco evenings", "for the drum circle in the park", "for unplugged sets"),
    ),
    Category(
        style="Violins",
        kind="violin",
        noun="violin",
        plural="violins",
        extras=("Spruce top, maple back, ebony pegs.", "Bow, rosin and case are included."),
        good=(
            "The pegs hold and turn without a fight.",
            "The bow is far better than expected.",
            "The bridge was cut with care.",
        ),
        bad=(
            "The pegs slip every time I tune.",
            "The bridge arrived in two pieces.",
            "The bow lost its hair within weeks.",
        ),
        uses=("for the amateur orchestra", "for fiddle tunes", "for string quartet evenings"),
    ),
    Category(
        style="Accordions",
        kind="accordion",
        noun="accordion",
        plural="accordions",
        extras=("Piano keyboard and 72 bass buttons.", "Leather straps are included."),
        good=(
            "The bellows are perfectly tight.",
            "The reeds speak at once.",
            "The buttons never stick.",
        ),
        bad=(
            "The bellows leak air.",
            "One reed is clearly out of tune.",
            "A strap tore in the first month.",
        ),
        uses=("for polka nights", "for the village dance", "for sea shanties with friends"),
    ),
    Category(
        style="Synthesizers",
        kind="synthesizer",
        noun="synth",
        plural="synths",
        extras=("Eight voices and a step sequencer.", "USB and MIDI sockets on the back."),
        good=(
            "The knobs feel precise.",
            "The firmware has been rock stable.",
            "The sequencer never misses a beat.",
        ),
        bad=(
            "It froze twice in the middle of a take.",
            "The encoder jumps values.",
            "The power supply whines.",
        ),
        uses=("for film music sketches", "for ambient sets", "for producing beats in my bedroom"),
    ),
)


def with_article(noun: str) -> str:
    """The noun with "a" or "an" before it."""
    return f"{'an' if noun[0].lower() in 'aeio' else 'a'} {noun}"
