"""Broken promises, one tree. Expected outcomes (a refusal, a lost race) are values, not errors.

A StartError ends the command with exit code 1, its message alone. A JobFault ends a job and becomes its `error`. At a
LeaseLost the result is thrown away: another worker holds the job. At a CheckpointError the job falls back to an older
checkpoint, then to step 0.
"""

from typing import ClassVar, Self

from mezzotint.domain.ids import JobId
from mezzotint.domain.refusal import APPEAL_HINT


class MezzotintError(Exception):
    """Root. `code` is stable and documented in docs/reference/errors.md; `hint` says what to do."""

    code: ClassVar[str] = "internal_error"
    hint: str = "Try again; if it persists, report it with the server's log."


class StartError(MezzotintError):
    """The command cannot go on."""

    code = "start_failed"


class PortInUse(StartError):
    """Another process listens on the port."""

    code = "port_in_use"
    hint = "Choose another with --port, or stop the process that uses it."


class DataFolderBusy(StartError):
    """Another server works in the data folder."""

    code = "data_folder_busy"
    hint = "Stop the other server, or give this one a folder of its own with --data."


class DataFolderUnusable(StartError):
    """The data folder cannot be created, written or kept from other users, or the disk is full."""

    code = "data_folder_unusable"
    hint = "Choose a folder that you own, on a disk with room, with --data."


class StoreUnusable(StartError):
    """The database or the object store that the settings name does not answer, or is damaged."""

    code = "store_unusable"
    hint = (
        "Check the address, the name and the credentials, and that it runs there (`mezzotint doctor` looks again); "
        "restore a damaged database from a backup."
    )


class ClusterUnusable(StartError):
    """There is no Ray cluster at the address, or it cannot run this fleet."""

    code = "cluster_unusable"
    hint = "Check --ray, and that this machine is a node of that cluster; see docs/how-to/fleet.md."


class DatabaseMissing(StartError):
    """There is no database, or no secret, where the command is to work."""

    code = "database_missing"
    hint = "Name its folder with --data or MEZZOTINT_DATA; `mezzotint init` and `mezzotint serve` make a new one."


class ModelMissing(StartError):
    """A file or a package that the model needs is not there."""

    code = "model_missing"
    hint = "Check --model: a diffusers folder (with model_index.json), a .safetensors file (see --like) or a hub id."


class ModelCorrupt(StartError):
    """A weights file is damaged."""

    code = "model_corrupt"
    hint = "Restore the file from its source; nothing was changed."


class ModelUnsupported(StartError):
    """Jobs cannot give the model what it needs in every call."""

    code = "model_unsupported"
    hint = "See docs/how-to/another-model.md for the models that are served, and their forms."


class StyleInvalid(StartError):
    """The file of a style cannot be used, or does not fit a model."""

    code = "style_invalid"
    hint = "Take another file, or take the style out of the models file: see docs/how-to/styles.md."


class EmbeddingInvalid(StartError):
    """The file of an embedding cannot be used, or does not fit a model."""

    code = "embedding_invalid"
    hint = "Take another file, or take the embedding out of the models file: see docs/how-to/embeddings.md."


class DeviceMissing(StartError):
    """The device that was asked for is not there."""

    code = "device_missing"
    hint = "Use --device cpu, or see docs/how-to/gpu.md; `mezzotint doctor` shows what PyTorch sees."


class DeviceBusy(StartError):
    """Another process of Mezzotint computes on the GPU."""

    code = "device_busy"
    hint = "Give each process a GPU of its own with --device cuda:N, stop the other one, or ask its server (--server)."


class PackageMissing(StartError):
    """`mezzotint dev up` needs a package that is not installed."""

    code = "package_missing"
    hint = "Install what it starts: pip install 'mezzotint[dev-up]'."


class LocalServerFailed(StartError):
    """A server that `mezzotint dev up` started did not start, or ended by itself."""

    code = "local_server_failed"
    hint = "The lines above are the end of its log. The others were ended; what they keep is there at the next start."


class OutputUnwritable(StartError):
    """The picture's file cannot be written."""

    code = "output_unwritable"
    hint = "Choose another place with --out, ending in .png or .webp."


class ServerUnreachable(StartError):
    """The server given with --server does not answer, or not as a Mezzotint server."""

    code = "server_unreachable"
    hint = "Check the address, and that `mezzotint serve` runs there."


class NameTaken(StartError):
    """There is one of that name already."""

    code = "name_taken"
    hint = "Choose another name; `list` shows those there are."


class NotKnown(StartError):
    """There is no tenant, user, key, job, worker or model of that name. listed_by: the command that shows them."""

    code = "not_known"
    hint = "`mezzotint tenants list`, `users list` and so on show those there are."

    def __init__(self, message: str, listed_by: str) -> None:
        super().__init__(message)
        self.hint = f"`mezzotint {listed_by}` shows those there are."


class ArgumentInvalid(StartError):
    """An argument of a command cannot be used."""

    code = "argument_invalid"
    hint = "Nothing was changed. Correct what the message names and run the command again."


class RecipeMissing(StartError):
    """A picture's file does not tell how it was drawn."""

    code = "recipe_missing"
    hint = "Sites and messengers often remove it; ask for the original file."


class SettingInvalid(StartError):
    """A setting has a value that cannot be used."""

    code = "setting_invalid"
    hint = "See docs/reference/settings.md for names, units and defaults."


class JobFault(MezzotintError):
    """A job cannot go on."""

    code = "job_failed"


class ImageBlocked(JobFault):
    """The finished picture did not pass the image filter and is not delivered."""

    code = "image_blocked"
    hint = "Change the prompt or the seed."

    @classmethod
    def of_job(cls, job: JobId, message: str) -> Self:
        """The fault with the way to appeal against it."""
        fault = cls(message)
        fault.hint = f"{cls.hint} {APPEAL_HINT.format(id=job)}"
        return fault


class ImageInReview(JobFault):
    """An operator looks at the finished picture before it is delivered."""

    code = "image_in_review"
    hint = "Read the job again later: it succeeds when the picture is released."


class PictureTakenDown(JobFault):
    """The operators of this server took the picture down."""

    code = "picture_taken_down"
    hint = "If you think that is a mistake, appeal: POST /v1/appeals with the job's id as `refusal_id`."


class NotFinite(JobFault):
    """The model produced NaN or infinity at this step; the picture would be noise."""

    code = "not_finite"
    hint = "Try another seed or a lower guidance scale; the other jobs are not affected."


class StepBudgetExceeded(JobFault):
    """The run asked for more denoiser steps than its tier allows."""

    code = "step_budget_exceeded"
    hint = "Ask for fewer steps."


class DeadlineExceeded(JobFault):
    """The run did not end before its deadline."""

    code = "deadline_exceeded"
    hint = "Ask for fewer steps or a smaller picture."


class RunFailed(JobFault):
    """The model could not carry out the request."""

    code = "run_failed"
    hint = "Try other parameters; the server's log has the cause."


class OutOfMemory(JobFault):
    """The device's memory did not suffice for this job, even after everything idle was freed."""

    code = "out_of_memory"
    hint = "Ask for a smaller picture. The operator finds what else takes memory in the metrics and the worker's log."


class EngineFailed(JobFault):
    """The engine failed as a whole while it drew this job, perhaps because of another job in the same pass."""

    code = "engine_failed"
    hint = "Try other parameters; the server's log has the cause."


class FilterFailed(JobFault):
    """The image filter could not look at the finished picture, so it was not kept."""

    code = "filter_failed"
    hint = "Try again; the server's log has the cause."


class EncodeFailed(JobFault):
    """The finished picture could not be written in the formats that are delivered."""

    code = "encode_failed"
    hint = "Ask for another size; the server's log has the cause."


class SigningFailed(JobFault):
    """The picture's content credentials could not be signed, so it was not delivered."""

    code = "signing_failed"
    hint = "Try again later; the server's log has the cause."


class ModelUnavailable(JobFault):
    """The model could not be brought into memory."""

    code = "model_unavailable"
    hint = "Try again, or choose another model; the server's log has the cause."


class ModelUndrawable(JobFault):
    """The model was brought into memory, and drew nothing that could be kept."""

    code = "model_undrawable"
    hint = "Choose another model; whoever runs this service must replace its files, see `mezzotint models check`."


class StyleUnavailable(JobFault):
    """A style of the job could not be brought into memory, or is another file than when the job came."""

    code = "style_unavailable"
    hint = "Submit it anew, or leave the style out; the server's log has the cause."


class SourceMissing(JobFault):
    """The picture that the job was to begin with is no longer there."""

    code = "source_missing"
    hint = "Upload it again, or choose another picture, and submit anew."


class JobUnreadable(JobFault):
    """The job's row is damaged, or was written by another version of the server."""

    code = "job_unreadable"
    hint = "Submit it again. Operators: let workers of the same version as the gateways claim."


class WorkerLost(JobFault):
    """The worker ended while it ran this job: twice (three times where workers end without it, too), or as often as a
    job may be tried."""

    code = "worker_lost"
    hint = "Ask for something else: this request makes workers crash. The operator finds the cause in the worker's log."


class WaitedTooLong(JobFault):
    """The job waited longer than its tier lets a job wait, and was given up."""

    code = "waited_too_long"
    hint = "Submit it again when the queue is shorter; a larger tier does not expire."


class StorageUnavailable(JobFault):
    """The object store did not take the picture."""

    code = "storage_unavailable"
    hint = "Try again later."


class StorageFull(StorageUnavailable):
    """The disk that holds the pictures is full."""

    code = "storage_full"
    hint = "Free some room on the disk of the data folder, then submit the job again."


class LeaseLost(MezzotintError):
    """The lease on the job ended; someone else may hold it."""

    code = "lease_lost"


class CheckpointError(MezzotintError):
    """A checkpoint cannot be used."""

    code = "checkpoint_unusable"


class CheckpointCorrupt(CheckpointError):
    """Its checksum or its form is wrong."""

    code = "checkpoint_corrupt"


class FingerprintMismatch(CheckpointError):
    """It was made under other numerics (versions, device, threads or weights): the picture would differ."""

    code = "fingerprint_mismatch"
