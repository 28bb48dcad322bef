"""Documents, small tokenizers and prepared folders for the tests of what lies on the disk."""

from types import MappingProxyType

from gptlib.data.prepare import prepare
from gptlib.data.shards import INDEX
from gptlib.tokenizer import BPETokenizer

DOCUMENTS = [
    f"{n} documents, {n * n} words: وحد نهار 🙂\n" + "the theme then the hem " * (n % 7)
    for n in range(60)
]
TOKENIZER = BPETokenizer.train("".join(DOCUMENTS), 300, ["<|endoftext|>"])


class Numbers:
    """A tokenizer whose texts are ids written out, such as ``"7 65535"``: any vocabulary."""

    name = "numbers"
    fingerprint = "0" * 64
    special_tokens = MappingProxyType({})

    def __init__(self, vocab_size, end_of_text=None):
        self.vocab_size, self.end_of_text = vocab_size, end_of_text

    def encode(self, text, allow_special=False):
        return [int(number) for number in text.split()]

    def save(self, folder):
        folder.mkdir()


def contents(folder):
    """The bytes of every file under a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def prepared_folder(folder, documents=DOCUMENTS, tokenizer=TOKENIZER):
    """A prepared folder with two training shards."""
    prepare(documents, folder, tokenizer, n_shards=2)
    return folder


# Damage to a folder of two training shards and one for validation

FILES = ["train-00000.npy", "train-00001.npy", "validation-00000.npy", INDEX]
