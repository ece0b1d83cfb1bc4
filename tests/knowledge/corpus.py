"""Twenty short documents, and for each a question that names nothing of its title."""

from __future__ import annotations

DOCUMENTS: dict[str, tuple[str, str]] = {
    "Bread": (
        "Mix flour, water, salt and yeast, let the dough rise over night and bake it hot.",
        "How do I bake a loaf?",
    ),
    "Bicycle": (
        "If the chain slips, clean it, oil it, and replace worn sprockets.",
        "My bike's drive train makes trouble",
    ),
    "Tides": (
        "The moon's gravity pulls the oceans, so the water rises twice a day.",
        "Why does the sea go in and out?",
    ),
    "Bees": (
        "A colony of honey bees has one queen; workers gather nectar and pollen.",
        "Which insects make honey?",
    ),
    "Chess": (
        "Castling moves the king two squares towards a rook that has not moved.",
        "A special move with king and rook",
    ),
    "Volcano": (
        "Magma rises through the crust and erupts as lava, ash and gas.",
        "What comes out of a fire-spitting mountain?",
    ),
    "Vaccines": (
        "A vaccine trains the immune system to recognise a virus before it infects.",
        "How does a jab protect me from disease?",
    ),
    "Inflation": (
        "When prices rise in general, money buys less; central banks raise interest rates.",
        "Why is everything getting more expensive?",
    ),
    "Photosynthesis": (
        "Leaves turn sunlight, water and carbon dioxide into sugar and oxygen.",
        "How do plants get their energy?",
    ),
    "Passport": (
        "Apply for a new travel document six weeks before your trip, with a photograph.",
        "What papers do I need to go abroad?",
    ),
    "Guitar": (
        "Tune the strings to E, A, D, G, B and E, from the thickest to the thinnest.",
        "Which notes does an instrument with six strings have?",
    ),
    "Earthquake": (
        "Tectonic plates slip along a fault, and the ground shakes.",
        "Why did the house tremble?",
    ),
    "Coffee": (
        "Grind the roasted beans, pour water of 93 degrees over them, and filter.",
        "How is a good espresso or filter brew prepared?",
    ),
    "Marathon": (
        "Train for months, raise the weekly distance slowly and rest before the race of 42 km.",
        "Preparing for a long run",
    ),
    "Printing": (
        "Gutenberg used movable metal type, which made books cheap.",
        "Who changed how books were made?",
    ),
    "Penguins": (
        "Emperors breed on the Antarctic ice, and fathers keep the egg warm.",
        "Birds that cannot fly and live in the cold",
    ),
    "Refunds": (
        "Customers may send goods back within 30 days and get their money back.",
        "Can I return what I bought?",
    ),
    "Password": (
        "Choose a long passphrase and switch on two-factor authentication.",
        "How do I keep my account safe?",
    ),
    "Solar": (
        "Panels on the roof turn light into electricity, which an inverter feeds into the grid.",
        "Making my own power at home",
    ),
    "Opera": (
        "Verdi wrote Aida and La Traviata; singers perform without microphones.",
        "Which composer's works are sung on stage?",
    ),
}
