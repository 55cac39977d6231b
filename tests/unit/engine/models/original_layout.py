"""Tiny models written as one file, in the key layouts of the code that each family was first published with.

It is the way back of diffusers' own conversion: a module's tensors under their original names.
"""

import re
from typing import Any

import torch

Tensors = dict[str, torch.Tensor]
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
VAE = {
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0": "mid.attn_1",
    "conv_norm_out": "norm_out",
    "conv_shortcut": "nin_shortcut",
    "downsamplers.0.conv": "downsample.conv",
    "upsamplers.0.conv": "upsample.conv",
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
OPEN_CLIP = {
    "encoder.layers": "transformer.resblocks",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
    "final_layer_norm": "ln_final",
    "embeddings.token_embedding": "token_embedding",
    "embeddings.position_embedding.weight": "positional_embedding",
}
SD3_BLOCK = {
    "attn.norm_q": "x_block.attn.ln_q",
    "attn.norm_k": "x_block.attn.ln_k",
    "attn.norm_added_q": "context_block.attn.ln_q",
    "attn.norm_added_k": "context_block.attn.ln_k",
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
}
SD3 = {
    "pos_embed.pos_embed": "pos_embed",
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "context_embedder": "context_embedder",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}
FLUX = {
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "context_embedder": "txt_in",
    "x_embedder": "img_in",
    "proj_out": "final_layer.linear",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
}
FLUX_DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "attn.norm_q.weight": "img_attn.norm.query_norm.scale",
    "attn.norm_k.weight": "img_attn.norm.key_norm.scale",
    "attn.norm_added_q.weight": "txt_attn.norm.query_norm.scale",
    "attn.norm_added_k.weight": "txt_attn.norm.key_norm.scale",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
}
FLUX_SINGLE = {
    "norm.linear": "modulation.lin",
    "proj_out": "linear2",
    "attn.norm_q.weight": "norm.query_norm.scale",
    "attn.norm_k.weight": "norm.key_norm.scale",
}


def rename(name: str, table: dict[str, str]) -> str:
    for ours, theirs in table.items():
        name = re.sub(rf"(^|\.){re.escape(ours)}(?=\.|$)", rf"\g<1>{theirs}", name)
    return name


def unet(module: Any, prefix: str = "model.diffusion_model.") -> Tensors:
    per_level = module.config.layers_per_block + 1
    found: Tensors = {}
    for name, tensor in module.state_dict().items():
        place = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
        if place is None:
            theirs = rename(name, UNET)
            inner = rename(theirs, RESNET) if re.match(r"middle_block\.[02]", theirs) else theirs
        else:
            side, level, kind, number, rest = place[1], int(place[2]), place[3], int(place[4]), place[5]
            inner = rename(rest, RESNET) if kind == "resnets" else rest
            if kind == "downsamplers":
                inner = f"input_blocks.{per_level * (level + 1)}.0.{inner.replace('conv', 'op')}"
            elif kind == "upsamplers":
                has_attention = len(getattr(module.up_blocks[level], "attentions", None) or ()) > 0
                inner = f"output_blocks.{per_level * level + per_level - 1}.{2 if has_attention else 1}.{inner}"
            else:
                at = per_level * level + number + (1 if side == "down" else 0)
                blocks = "input_blocks" if side == "down" else "output_blocks"
                inner = f"{blocks}.{at}.{0 if kind == 'resnets' else 1}.{inner}"
        found[prefix + inner] = tensor
    return found


def vae(module: Any, prefix: str = "first_stage_model.") -> Tensors:
    last = len(module.config.block_out_channels) - 1
    found: Tensors = {}
    for name, tensor in module.state_dict().items():
        theirs = re.sub(r"encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.down.\1.block.", name)
        theirs = re.sub(r"encoder\.down_blocks\.(\d+)\.", r"encoder.down.\1.", theirs)
        theirs = re.sub(
            r"decoder\.up_blocks\.(\d+)\.(resnets\.)?",
            lambda at: f"decoder.up.{last - int(at[1])}.{'block.' if at[2] else ''}",
            theirs,
        )
        theirs = rename(theirs, VAE)
        is_projection = "mid.attn_1" in theirs and theirs.endswith("weight") and tensor.ndim == 2
        found[prefix + theirs] = tensor[..., None, None] if is_projection else tensor
    return found


def clip(module: Any, prefix: str = "cond_stage_model.transformer.") -> Tensors:
    """CLIP as its first code names it. A projection is left out, as in files of SD3."""
    named = {name.removeprefix("text_model."): tensor for name, tensor in module.state_dict().items()}
    return {f"{prefix}text_model.{name}": one for name, one in named.items() if name != "text_projection.weight"}


def clip_with_projection(module: Any, prefix: str) -> Tensors:
    return clip(module, prefix) | {f"{prefix}text_projection.weight": module.text_projection.weight.detach()}


def open_clip(module: Any, prefix: str) -> Tensors:
    found: Tensors = {}
    state = {name.removeprefix("text_model."): tensor for name, tensor in module.state_dict().items()}
    for name, tensor in state.items():
        if name == "text_projection.weight":
            found[f"{prefix}text_projection"] = tensor.T.contiguous()
        elif ".q_proj." in name:
            kinds = (name.replace(".q_proj.", f".{kind}_proj.") for kind in "qkv")
            joined = torch.cat([state[kind] for kind in kinds])
            layer, end = name.split(".self_attn.q_proj.")
            found[prefix + rename(layer, OPEN_CLIP) + f".attn.in_proj_{end}"] = joined
        elif ".k_proj." not in name and ".v_proj." not in name:
            found[prefix + rename(name, OPEN_CLIP)] = tensor
    return found


def t5(module: Any, prefix: str = "text_encoders.t5xxl.transformer.") -> Tensors:
    return {
        prefix + name: tensor for name, tensor in module.state_dict().items() if name != "encoder.embed_tokens.weight"
    }


def swap_halves(tensor: torch.Tensor) -> torch.Tensor:
    return torch.cat(tensor.chunk(2)[::-1])


def join(state: Tensors, name: str, parts: tuple[str, ...]) -> torch.Tensor:
    """Tensors that the original keeps as one, of which `name` is the first."""
    return torch.cat([state[name.replace(parts[0], part)] for part in parts])


def sd3(module: Any, prefix: str = "model.diffusion_model.") -> Tensors:
    state = module.state_dict()
    last = f"transformer_blocks.{module.config.num_layers - 1}.norm1_context.linear"
    found: Tensors = {}
    for name, own in state.items():
        tensor = own
        theirs = name
        if block := re.match(r"transformer_blocks\.(\d+)\.(.*)", name):
            if ".attn.to_q." in name:
                theirs = f"joint_blocks.{block[1]}.x_block.attn.qkv.{name.rsplit('.', 1)[1]}"
                tensor = join(state, name, ("to_q", "to_k", "to_v"))
            elif ".attn.add_q_proj." in name:
                theirs = f"joint_blocks.{block[1]}.context_block.attn.qkv.{name.rsplit('.', 1)[1]}"
                tensor = join(state, name, ("add_q_proj", "add_k_proj", "add_v_proj"))
            elif re.search(r"\.(to_[kv]|add_[kv]_proj)\.", name):
                continue
            else:
                theirs = f"joint_blocks.{block[1]}.{rename(block[2], SD3_BLOCK)}"
                tensor = swap_halves(tensor) if name.startswith(last) else tensor
        else:
            theirs = rename(name, SD3)
            tensor = swap_halves(tensor) if name.startswith("norm_out.linear") else tensor
        found[prefix + theirs] = tensor
    return found


def flux(module: Any, prefix: str = "") -> Tensors:
    state = module.state_dict()
    found: Tensors = {}
    for name, own in state.items():
        tensor = own
        end = name.rsplit(".", 1)[1]
        if block := re.match(r"transformer_blocks\.(\d+)\.(.*)", name):
            if ".attn.to_q." in name:
                theirs, tensor = f"img_attn.qkv.{end}", join(state, name, ("to_q", "to_k", "to_v"))
            elif ".attn.add_q_proj." in name:
                theirs, tensor = f"txt_attn.qkv.{end}", join(state, name, ("add_q_proj", "add_k_proj", "add_v_proj"))
            elif re.search(r"\.(to_[kv]|add_[kv]_proj)\.", name):
                continue
            else:
                theirs = rename(block[2], FLUX_DOUBLE)
            theirs = f"double_blocks.{block[1]}.{theirs}"
        elif block := re.match(r"single_transformer_blocks\.(\d+)\.(.*)", name):
            if ".attn.to_q." in name:
                parts = tuple(state[name.replace("attn.to_q", part)] for part in ("attn.to_k", "attn.to_v", "proj_mlp"))
                theirs, tensor = f"linear1.{end}", torch.cat([tensor, *parts])
            elif re.search(r"\.(attn\.to_[kv]|proj_mlp)\.", name):
                continue
            else:
                theirs = rename(block[2], FLUX_SINGLE)
            theirs = f"single_blocks.{block[1]}.{theirs}"
        else:
            theirs = rename(name, FLUX)
            tensor = swap_halves(tensor) if name.startswith("norm_out.linear") else tensor
        found[prefix + theirs] = tensor
    return found


def contiguous(tensors: Tensors) -> Tensors:
    """As safetensors stores them: each in memory of its own."""
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
