"""The videorefer family: object encoder, token merge, masks, frame choice, pixels."""

import common
import videorefer_inputs
import videorefer_regions

SEED = 4707
FAMILY = "videorefer"


def main():
    rng = common.seeded(SEED)
    reference = common.fixtures(FAMILY)
    if reference:
        videorefer_regions.check(reference)
        videorefer_inputs.check(reference)
    folder = common.out_dir(FAMILY)
    versions = common.versions("torch", "transformers", "pillow", "pycocotools")
    manifest = {"generator": {"versions": versions, "seed": SEED, "device": "cpu"}}
    manifest |= videorefer_regions.record(folder, rng)
    manifest |= videorefer_inputs.record_segmentation(folder, rng)
    manifest |= videorefer_inputs.record_sampling(folder)
    manifest |= videorefer_inputs.record_pixels(folder, rng)
    common.write_json(folder / "manifest.json", manifest)
    common.readme(
        folder, "VideoRefer's inputs and object encoder",
        "`object_encoder_<case>`: `feats` `(f, p, dv)`, `masks.<i>` of sample i, `grid_mask.<i>` after resizing, `pooled.<i>`, `out`;\n"
        "the manifest names frames per object (`ann_indices`), tokens per object and the limit `union_u`. `grad` adds `coef`, `loss`,\n"
        "`grad.*`. `token_merge`: `<i>.x`, `<i>.sim`, `<i>.y`. `segmentation_*`: COCO masks in three forms and their pixels.\n"
        "`frame_sampling_cases.json`: uniform and by frame rate. `image_preprocess`: image to pixels.",
        SEED, versions,
        "Masks by pycocotools, pixels by transformers and PIL; object encoder and sampling by our own implementation "
        "(`scripts/goldens/regions.py`), which agrees with the reference's recorded numbers.",
        "1e-5 relative to the largest value, gradients 1e-4, bf16 5e-2, pixels 1e-6; masks, indices and counts equal.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()
