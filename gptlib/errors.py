"""The package's named errors: each message is one line that says what came and the way out."""


class GPTLibError(Exception):
    """Base of every error that gptlib raises on purpose; the command line prints only its text."""


class ConfigError(GPTLibError, ValueError):
    """A setting that cannot work, of a model, a training or the device."""


class FolderError(GPTLibError):
    """A folder or run that exists already, is in use, or could not be written; nothing is left."""


class Damaged(GPTLibError):
    """A file or folder that is not as it was written; whoever reads it adds the way out."""


class TokenizerError(GPTLibError, ValueError):
    """Text or tokenizer files that cannot be encoded or read."""


class TokenOutOfRange(GPTLibError, ValueError):
    """A token id that the vocabulary does not hold."""


class PromptError(GPTLibError, ValueError):
    """Token ids that are none, or more than the context holds."""


class TextTooShort(GPTLibError, ValueError):
    """A text with too few tokens for what is asked, such as one training window."""


class CorpusError(GPTLibError):
    """A corpus that is unknown, or a file that cannot be read as text."""


class CorpusUnavailable(CorpusError):
    """A known corpus that is neither stored here nor reachable; the message names each way out."""


class ShardError(CorpusError):
    """Token shards that are missing, damaged, or for another vocabulary."""


class DownloadError(GPTLibError):
    """A download that is not to be had, or did not bring the expected bytes; nothing was kept."""


class CheckpointError(GPTLibError):
    """A checkpoint that is missing, damaged, or made for another model."""


class PretrainedError(GPTLibError):
    """Weights from elsewhere that are missing, damaged, unsafe to read, or of another model."""


class TrainingStopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM ended training between two steps, after a checkpoint: nothing is lost."""


class TrainingDiverged(GPTLibError):
    """A loss or gradient that is not finite; the parameters stayed as they were."""


class OutOfPairsWarning(UserWarning):
    """BPE training stopped early: the text has no pair left to merge."""
