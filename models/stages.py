"""The losses of the three training stages, exactly as the reference computes them.

Stage 1 trains the global branch alone, stage 2 the local branch beside the frozen global one,
stage 3 a second global branch that is fed by the frozen local one. The functions run backward
themselves, part by part, so that gradients add up over parts that never live at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glnet_geo.legend import IGNORED
from glnet_geo.models.fpn import Decoded, StageMaps
from glnet_geo.models.frozen import FrozenLocal
from glnet_geo.models.glnet import Branch, Form, GLNet, features_under, local_maps
from glnet_geo.models.losses import FEATURE_WEIGHT, feature_regularization
from glnet_geo.models.objective import PLAIN, Objective
from glnet_geo.models.sharing import FramePatch, Merging
from glnet_geo.tiling import PatchLayout

_KEPT_BYTES = 130_000_000  # the bundled networks' of a frame; the paper's take 1.2 GB

STAGES = (Form.GLOBAL, Form.GLOBAL_TO_LOCAL, Form.BOTH_WAYS)
"""The stages in order, each named by the form that it completes."""


def stages_of(form: Form) -> tuple[Form, ...]:
    """The stages that make a model of a form, in order."""
    return STAGES[: STAGES.index(form) + 1]


@dataclass(frozen=True, slots=True)
class PatchBatch:
    """Patches that run together.

    Attributes:
        pixels: P x bands x p x p, normalised.
        target: P x p/4 x p/4, positions of classes or `IGNORED`.
        patches: Which frame and place each patch has.
    """

    pixels: Tensor
    target: Tensor
    patches: Sequence[FramePatch]

    @property
    def has_labels(self) -> bool:
        """Whether any pixel counts in a loss."""
        return bool((self.target != IGNORED).any())


@dataclass(frozen=True, slots=True)
class LocalLosses:
    """The parts of a batch's loss in stage 2.

    Attributes:
        local: Focal loss of the local branch's own logits.
        joint: Focal loss of the ensemble's logits.
        regularization: Mean squared distance of the last maps, weighted.
    """

    local: float
    joint: float
    regularization: float

    @property
    def total(self) -> float:
        """What was minimised."""
        return self.local + self.joint + self.regularization


def trained_modules(net: GLNet, stage: Form) -> list[nn.Module]:
    """The parts of the model that a stage trains."""
    assert net.local is not None and net.feedback is not None and net.ensemble is not None
    if stage is Form.GLOBAL:
        return [net.context, *net.twins]
    return [net.local if stage is Form.GLOBAL_TO_LOCAL else net.feedback, net.ensemble]


def prepare_stage(net: GLNet, stage: Form, keeps_statistics: bool = False) -> list[nn.Parameter]:
    """Freezes what a stage does not train, batch statistics included.

    Args:
        net: The networks.
        stage: The stage.
        keeps_statistics: Whether batch norms keep the statistics that they have, too.

    Returns:
        The parameters to optimise.
    """
    net.eval().requires_grad_(False)
    modules = trained_modules(net, stage)
    for module in modules:
        module.train().requires_grad_(True)
    if keeps_statistics:
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    return [parameter for module in modules for parameter in module.parameters()]


def backbone_parameters(net: GLNet) -> list[nn.Parameter]:
    """Weights and biases of the backbones."""
    return [one for branch in _branches(net) for one in branch.backbone.parameters()]


def head_parameters(net: GLNet) -> list[nn.Parameter]:
    """Weights and biases of the layers whose outputs are the classes."""
    heads = [branch.decoder.classify for branch in _branches(net)]
    if net.ensemble is not None:
        heads.append(net.ensemble)
    return [parameter for head in heads for parameter in head.parameters()]


def _branches(net: GLNet) -> list[Branch]:
    branches = (net.context, net.local, net.feedback, *net.twins)
    return [branch for branch in branches if isinstance(branch, Branch)]


def global_step(
    branch: Branch, views: Tensor, target: Tensor, objective: Objective = PLAIN
) -> float:
    """Stage 1: backward of a global branch's loss on a batch of frames.

    Args:
        branch: The branch, after `prepare_stage`.
        views: B x bands x g x g, normalised: frames, small.
        target: B x g/4 x g/4, positions of classes or `IGNORED`.
        objective: What is minimised.
    """
    loss = objective.loss(branch(views).logits, target)
    objective.scaled(loss).backward()  # type: ignore[no-untyped-call]
    return loss.item()


def local_step(
    net: GLNet,
    context: Decoded,
    batch: PatchBatch,
    layout: PatchLayout,
    objective: Objective = PLAIN,
    hidden: Collection[int] = (),
    feature_weight: float = FEATURE_WEIGHT,
) -> LocalLosses:
    """Stage 2: backward of the local branch's loss on a batch of patches.

    Args:
        net: The networks, after `prepare_stage`.
        context: What the frozen global branch makes of the frames.
        batch: Patches of those frames.
        layout: The patches of every frame.
        objective: What is minimised, beside the regularisation.
        hidden: Positions of frames whose patches see zeros instead of the global maps.
        feature_weight: Of the regularisation.
    """
    assert net.local is not None and net.ensemble is not None
    is_seen = [patch.frame not in hidden for patch in batch.patches]
    factors = context.features.new_tensor([k not in hidden for k in range(len(context.features))])
    factors = factors[:, None, None, None]
    stages = context.stages.map(lambda x: x * factors) if hidden else context.stages
    local = local_maps(net.local, batch.pixels, stages, layout, batch.patches)
    other = features_under(context.features * factors, layout, batch.patches, like=local.features)
    joint = objective.loss(net.ensemble(torch.cat([local.features, other], 1)), batch.target)
    own = objective.loss(local.logits, batch.target)
    regularization = feature_weight * feature_regularization(local.features, other, is_seen)
    total = own + joint + regularization
    objective.scaled(total).backward()  # type: ignore[no-untyped-call]
    return LocalLosses(own.item(), joint.item(), regularization.item())


@dataclass(frozen=True, slots=True)
class FeedbackLosses:
    """The parts of a batch's loss in stage 3.

    Attributes:
        whole: Focal loss of the second global branch's logits.
        joint: Focal losses of the ensemble's logits, one for each batch of patches with labels.
    """

    whole: float
    joint: tuple[float, ...]

    @property
    def total(self) -> float:
        """What was minimised."""
        return self.whole + sum(self.joint)


@dataclass(frozen=True, slots=True, eq=False)
class LocalPass:
    """The frozen local branch over all patches of a batch of frames.

    No patch's maps outlive it but the last ones, which the ensemble takes once the second global
    branch has run: the paper's are 33 MB a patch, 1.2 GB a frame. What of them exceeds
    `kept_bytes` is computed a second time instead.

    Attributes:
        local: The branch.
        context: The frozen global branch's maps of the frames, B x C x H x W each.
        layout: The patches of every frame.
        batches: Gives the batch of patches at a position, the same one every time.
        count: How many there are.
        kept_bytes: Memory for last maps.
    """

    local: FrozenLocal
    context: StageMaps
    layout: PatchLayout
    batches: Callable[[int], PatchBatch]
    count: int
    kept_bytes: int = _KEPT_BYTES

    def merge(self) -> tuple[StageMaps, Iterator[tuple[PatchBatch, Tensor]]]:
        """Runs the branch.

        Returns:
            The merged maps; and every batch of patches that has labels, with its last map.
        """
        mixed = self.local.mix(self.context)
        merging = Merging(self.context, self.layout)
        kept: dict[int, Tensor] = {}
        left = self.kept_bytes

        for index in range(self.count):
            batch = self.batches(index)
            features = self._run(batch, mixed, merging.add)
            if batch.has_labels and features.nbytes <= left:
                left -= features.nbytes
                kept[index] = features

        def last_maps() -> Iterator[tuple[PatchBatch, Tensor]]:
            for index in range(self.count):
                if index in kept:
                    yield self.batches(index), kept.pop(index)
                elif (batch := self.batches(index)).has_labels:
                    yield batch, self._run(batch, mixed)

        return merging.mean(), last_maps()

    def _run(
        self,
        batch: PatchBatch,
        mixed: StageMaps,
        add: Callable[[StageMaps, Sequence[FramePatch]], None] = lambda maps, patches: None,
    ) -> Tensor:
        """The last map of some patches; what they share with the global branch goes to `add`."""
        # On a CPU one at a time is no slower, and its maps are a sixth of six patches'.
        count = 1 if batch.pixels.device.type == "cpu" else len(batch.patches)
        parts = []
        for start in range(0, len(batch.patches), count):
            some = batch.patches[start : start + count]
            pixels = batch.pixels[start : start + count]
            stages, features = self.local(pixels, mixed, self.layout, some)
            add(stages, some)
            parts.append(features)
        return torch.cat(parts)


def feedback_step(
    net: GLNet, views: Tensor, target: Tensor, local: LocalPass, objective: Objective = PLAIN
) -> FeedbackLosses:
    """Stage 3: backward of the second global branch's loss on a batch of frames.

    Args:
        net: The networks, after `prepare_stage`.
        views: B x bands x g x g, normalised: frames, small.
        target: B x g/4 x g/4, positions of classes or `IGNORED`.
        local: The frozen local branch over the frames' patches.
        objective: What is minimised.
    """
    assert net.feedback is not None and net.ensemble is not None
    merged, last_maps = local.merge()
    fed: Decoded = net.feedback(views, merged)
    whole = objective.loss(fed.logits, target)
    # The ensemble's gradients gather in a leaf, so that the branch is run backward only once.
    features = fed.features.detach().requires_grad_()
    joint = []
    for batch, own in last_maps:
        other = features_under(features, local.layout, batch.patches, like=own)
        loss = objective.loss(net.ensemble(torch.cat([own, other], 1)), batch.target)
        objective.scaled(loss).backward()  # type: ignore[no-untyped-call]
        joint.append(loss.item())
    roots, gradients = [objective.scaled(whole)], [torch.ones_like(whole)]
    if features.grad is not None:
        roots, gradients = [*roots, fed.features], [*gradients, features.grad]
    torch.autograd.backward(roots, gradients)
    return FeedbackLosses(whole.item(), tuple(joint))


def warm_start(net: GLNet, stage: Form) -> None:
    """Starts a stage's networks from the branch that is trained already.

    A fused branch begins as the plain global one: the layers' own halves are copied, the halves
    for the other branch's maps start at zero, and the last smoothing passes its own maps on. The
    paper starts these layers afresh, which a long schedule can afford.
    """
    if stage is Form.GLOBAL:
        return
    branch = net.local if stage is Form.GLOBAL_TO_LOCAL else net.feedback
    assert branch is not None and branch.decoder.smooth is not None and net.ensemble is not None
    plain = net.context.state_dict()
    with torch.no_grad():
        for key, value in branch.state_dict().items():
            source = plain.get(key)
            if source is None:
                continue
            if source.shape == value.shape:
                value.copy_(source)
            else:
                value.zero_()
                value[:, : source.shape[1]].copy_(source)
        _pass_own_maps_on(branch.decoder.smooth)
        if stage is Form.GLOBAL_TO_LOCAL:
            head = plain["decoder.classify.weight"], plain["decoder.classify.bias"]
            net.ensemble.load_state_dict(
                {"weight": torch.cat([head[0]] * 2, 1) / 2, "bias": head[1]}
            )


def start_outputs(net: GLNet, stage: Form, positions: Sequence[int]) -> None:
    """Starts outputs that a trained branch does not have yet from those of the global branch.

    Its last map is like the local branch's, which stage 2 has been holding close to it, and like
    that of the second global branch, which began as its copy.

    Args:
        net: The networks.
        stage: The stage that is about to begin.
        positions: The classes that stage 1 has brought.
    """
    if stage is Form.GLOBAL or not positions:
        return
    branch = net.local if stage is Form.GLOBAL_TO_LOCAL else net.feedback
    assert branch is not None and net.ensemble is not None
    rows = list(positions)
    source, own, joint = net.context.decoder.classify, branch.decoder.classify, net.ensemble
    assert source.bias is not None and own.bias is not None and joint.bias is not None
    with torch.no_grad():
        own.weight[rows], own.bias[rows] = source.weight[rows], source.bias[rows]
        if stage is Form.GLOBAL_TO_LOCAL:
            joint.weight[rows] = torch.cat([source.weight[rows]] * 2, 1) / 2
            joint.bias[rows] = source.bias[rows]


def _pass_own_maps_on(smooth: nn.Conv2d) -> None:
    """Makes the fused smoothing of four levels, [own, other] each, return the own ones."""
    assert smooth.bias is not None
    nn.init.zeros_(smooth.weight)
    nn.init.zeros_(smooth.bias)
    per_level = smooth.out_channels // 4
    for output in range(smooth.out_channels):
        level, channel = divmod(output, per_level)
        smooth.weight[output, 2 * per_level * level + channel, 1, 1] = 1
