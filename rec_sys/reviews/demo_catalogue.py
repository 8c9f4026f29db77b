"""Words of the demo set, part 2: what the invented shop sells. No brand or model is real."""

from dataclasses import dataclass

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
