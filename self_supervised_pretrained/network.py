"""SimCLR's network: a ResNet whose `fc` is the projection head (Chen et al. 2020, section 2.1)."""

from torch import nn

from supervised.resnet import resnet


class SimCLR(nn.Module):
    """backbone.fc is Linear-ReLU-Linear to out_dim; keys are those of the well-known code."""

    def __init__(self, arch, out_dim, stem):
        super().__init__()
        self.backbone = resnet(arch, out_dim, stem)
        width = self.backbone.fc.in_features
        self.backbone.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(), self.backbone.fc)

    def forward(self, images):
        """images: (B, 3, H, W) -> projections (B, out_dim)."""
        return self.backbone(images)
