"""The characters that the text recogniser knows, in the order of its classes (0 is CTC's blank)."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"
ACCENTED = "áàâãçéêíóôõúü"
ALPHABET = (
    LETTERS
    + LETTERS.upper()
    + "0123456789"
    + ACCENTED
    + ACCENTED.upper()
    + " .,;:!?'\"()[]{}%$#@&*+-=/\\_<>|°ºª"
)
BLANK = 0
