"""Small models of model libraries with random weights, for `field.py`: functions that return a module and its inputs.

Each imports its library when it is called. None loads anything from a hub.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

Case = tuple[nn.Module, dict[str, Any] | tuple[Any, ...]]

# PyPI's torchvision 0.28.0 has its operators built for CUDA and does not load them beside a CPU build of torch 2.13.
# Its Python part wants two of them declared; no model here calls them.
for _name in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, _name):
        torch.library.define(f"torchvision::{_name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _image(size: int, channels: int = 3, batch: int = 2) -> Tensor:
    return torch.randn(batch, channels, size, size)


def _ids(vocabulary: int, length: int) -> Tensor:
    return torch.randint(0, vocabulary, (2, length))


def _timm(name: str, size: int = 64, **options: Any) -> Case:
    import timm

    return timm.create_model(name, num_classes=10, **options).eval(), (_image(size),)


def timm_fastvit() -> Case:
    return _timm("fastvit_t8")


def timm_convnext() -> Case:
    return _timm("convnext_atto")


def timm_swinv2() -> Case:
    size = {"img_size": 64, "window_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
    return _timm("swinv2_cr_tiny_224", **size)


def timm_mobilenet() -> Case:
    return _timm("mobilenetv3_small_050")


def timm_vit() -> Case:
    return _timm("vit_tiny_patch16_224", img_size=64, depth=3)


def timm_features() -> Case:
    return _timm("resnet10t", features_only=True)


def torchvision_resnet() -> Case:
    import torchvision

    return torchvision.models.resnet18(num_classes=10).eval(), (_image(64),)


def torchvision_deeplab() -> Case:
    from torchvision.models import segmentation

    model = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5)
    return model.eval(), (_image(64),)


def torchvision_squeezenet() -> Case:
    import torchvision

    return torchvision.models.squeezenet1_1(num_classes=10).eval(), (_image(64),)


def torchvision_swin() -> Case:
    from torchvision.models import SwinTransformer

    model = SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=10)
    return model.eval(), (_image(64),)


def diffusers_unet() -> Case:
    import diffusers

    model = diffusers.UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    inputs = {"sample": torch.randn(2, 4, 16, 16), "timestep": torch.tensor(7)}
    return model.eval(), {**inputs, "encoder_hidden_states": torch.randn(2, 6, 16), "return_dict": False}


def diffusers_vae() -> Case:
    import diffusers

    model = diffusers.AutoencoderKL(block_out_channels=(16, 16), norm_num_groups=4, latent_channels=2)
    return model.eval(), {"sample": _image(16), "return_dict": False}


def diffusers_dit() -> Case:
    import diffusers

    model = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, num_layers=2, sample_size=8, norm_num_groups=4
    )
    labels = {"timestep": torch.tensor([3, 9]), "class_labels": torch.tensor([1, 2])}
    return model.eval(), {"hidden_states": torch.randn(2, 4, 8, 8), **labels, "return_dict": False}


def _bert() -> nn.Module:
    import transformers

    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=100
    )
    return transformers.BertModel(config).eval()


def transformers_bert_hidden() -> Case:
    ids = _ids(100, 9)
    return _bert(), {"input_ids": ids, "attention_mask": torch.ones_like(ids), "output_hidden_states": True}


def transformers_gpt2_cache() -> Case:
    import transformers

    config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=100, n_positions=64)
    return transformers.GPT2LMHeadModel(config).eval(), {"input_ids": _ids(100, 9), "use_cache": True}


def transformers_whisper() -> Case:
    import transformers

    config = transformers.WhisperConfig(
        d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2
    )
    config.update({"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 100, "max_source_positions": 40})
    config.update({"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3})
    model = transformers.WhisperModel(config).eval()
    return model, {"input_features": torch.randn(2, 80, 80), "decoder_input_ids": _ids(100, 5), "use_cache": False}


def peft_lora() -> Case:
    import peft

    model = peft.get_peft_model(_bert(), peft.LoraConfig(target_modules=["query", "value"], r=4))
    return model.eval(), {"input_ids": _ids(100, 9)}


def peft_ia3() -> Case:
    import peft

    config = peft.IA3Config(target_modules=["key", "value", "output.dense"], feedforward_modules=["output.dense"])
    return peft.get_peft_model(_bert(), config).eval(), {"input_ids": _ids(100, 9)}


def sentence_transformers_mean() -> Case:
    import tempfile
    from pathlib import Path

    import transformers
    from sentence_transformers import SentenceTransformer, models

    with tempfile.TemporaryDirectory() as folder:
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
        (Path(folder) / "vocab.txt").write_text("\n".join(words))
        _bert().save_pretrained(folder)  # pyright: ignore[reportAttributeAccessIssue]
        transformers.BertTokenizer(str(Path(folder) / "vocab.txt")).save_pretrained(folder)
        bert = models.Transformer(folder)
    model = SentenceTransformer(modules=[bert, models.Pooling(32), models.Normalize()], device="cpu")
    ids = _ids(13, 9)
    return model.eval(), ({"input_ids": ids, "attention_mask": torch.ones_like(ids)},)


def open_clip_vit() -> Case:
    from open_clip.model import CLIP

    vision = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16}
    text = {"context_length": 12, "vocab_size": 100, "width": 32, "heads": 2, "layers": 2}
    return CLIP(16, vision, text).eval(), (_image(32), _ids(100, 12))


def ultralytics_yolov8() -> Case:
    from ultralytics.nn.tasks import DetectionModel

    return DetectionModel("yolov8n.yaml", verbose=False).eval(), (_image(64),)


def ultralytics_yolo11_pose() -> Case:
    from ultralytics.nn.tasks import PoseModel

    return PoseModel("yolo11n-pose.yaml", verbose=False).eval(), (_image(64),)


def monai_unet() -> Case:
    from monai.networks.nets import UNet

    return UNet(3, 1, 2, (4, 8, 16), (2, 2), num_res_units=1).eval(), (torch.randn(1, 1, 16, 16, 16),)


def monai_unetr() -> Case:
    from monai.networks.nets import UNETR

    model = UNETR(1, 2, (32, 32), feature_size=4, hidden_size=24, mlp_dim=48, num_heads=2, spatial_dims=2)
    return model.eval(), (_image(32, channels=1),)


def monai_swin_unetr() -> Case:
    from monai.networks.nets import SwinUNETR

    return SwinUNETR(1, 2, feature_size=12, spatial_dims=2, depths=(1, 1, 1, 1)).eval(), (_image(64, channels=1),)


def monai_segresnet() -> Case:
    from monai.networks.nets import SegResNet

    return SegResNet(2, 8, 1, 2).eval(), (_image(32, channels=1),)


def smp_unet() -> Case:
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet18", encoder_weights=None, decoder_channels=(32, 16, 8, 8, 4)).eval(), (_image(64),)


def smp_deeplab() -> Case:
    import segmentation_models_pytorch as smp

    return smp.DeepLabV3Plus("timm-mobilenetv3_small_minimal_100", encoder_weights=None).eval(), (_image(64),)


def _graph() -> tuple[Tensor, Tensor]:
    return torch.randn(6, 8), torch.tensor([[0, 1, 2, 3, 4, 5, 0], [1, 2, 3, 4, 5, 0, 3]])


def geometric_gcn() -> Case:
    from torch_geometric.nn import GCN

    return GCN(8, 16, 2, 3).eval(), _graph()


def geometric_gat() -> Case:
    from torch_geometric.nn import GAT

    return GAT(8, 16, 2, 3, v2=True, heads=2).eval(), _graph()


def x_transformers_decoder() -> Case:
    from x_transformers import Decoder, TransformerWrapper

    layers = Decoder(dim=32, depth=2, heads=2, attn_dim_head=16, rotary_pos_emb=True, attn_flash=False)
    return TransformerWrapper(num_tokens=100, max_seq_len=32, attn_layers=layers).eval(), (_ids(100, 9),)


def x_transformers_encoder() -> Case:
    from x_transformers import Encoder, ViTransformerWrapper

    layers = Encoder(dim=32, depth=2, heads=2, attn_dim_head=16)
    return ViTransformerWrapper(image_size=32, patch_size=8, attn_layers=layers, num_classes=5).eval(), (_image(32),)


def vit_pytorch_vit() -> Case:
    from vit_pytorch import ViT

    model = ViT(image_size=32, patch_size=8, num_classes=5, dim=32, depth=2, heads=2, mlp_dim=64)
    return model.eval(), (_image(32),)


def vit_pytorch_cait() -> Case:
    from vit_pytorch.cait import CaiT

    size = {"dim": 32, "depth": 2, "cls_depth": 1, "heads": 2, "mlp_dim": 64}
    return CaiT(image_size=32, patch_size=8, num_classes=5, **size).eval(), (_image(32),)


def kornia_hardnet() -> Case:
    from kornia.feature import HardNet

    return HardNet(pretrained=False).eval(), (_image(32, channels=1),)


def kornia_disk() -> Case:
    from kornia.feature.disk._unets import Unet  # the network alone: DISK itself returns Python objects

    return Unet(in_features=3, down=[8, 12, 16], up=[12, 9]).eval(), (_image(32),)


def efficientnet_pytorch_b0() -> Case:
    from efficientnet_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-b0", num_classes=5, image_size=64).eval(), (_image(64),)


def facenet_inception() -> Case:
    from facenet_pytorch import InceptionResnetV1

    return InceptionResnetV1(pretrained=None).eval(), (_image(96),)


def pytorchcv_shufflenet() -> Case:
    from pytorchcv.model_provider import get_model

    return get_model("shufflenetv2_wd2", pretrained=False).eval(), (_image(224),)


def local_attention_lm() -> Case:
    from local_attention import LocalTransformer

    model = LocalTransformer(
        num_tokens=100, max_seq_len=32, dim=32, depth=2, heads=2, dim_head=16, local_attn_window_size=8
    )
    return model.eval(), (_ids(100, 16),)


def performer_lm() -> Case:
    from performer_pytorch import PerformerLM

    return PerformerLM(num_tokens=100, max_seq_len=32, dim=32, depth=2, heads=2, dim_head=16).eval(), (_ids(100, 16),)


def linformer_lm() -> Case:
    from linformer import LinformerLM

    return LinformerLM(num_tokens=100, dim=32, seq_len=16, depth=2, heads=2, k=8).eval(), (_ids(100, 16),)


def tabnet() -> Case:
    from pytorch_tabnet.tab_network import TabNet

    group = torch.eye(8)
    return TabNet(8, 2, n_d=4, n_a=4, group_attention_matrix=group).eval(), (torch.randn(5, 8),)


def tcn() -> Case:
    from pytorch_tcn import TCN

    return TCN(4, [8, 8], kernel_size=3).eval(), (torch.randn(2, 4, 20),)


def conformer_encoder() -> Case:
    from conformer import Conformer

    return Conformer(dim=32, depth=2, dim_head=16, heads=2).eval(), (torch.randn(2, 12, 32),)


def rtdl_ft_transformer() -> Case:
    from rtdl_revisiting_models import FTTransformer

    options = FTTransformer.get_default_kwargs(n_blocks=2)
    options.pop("_is_default")
    model = FTTransformer(n_cont_features=3, cat_cardinalities=[4, 5], d_out=1, **options)
    return model.eval(), (torch.randn(4, 3), torch.randint(0, 4, (4, 2)))
