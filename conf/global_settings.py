"""Constants of the suite, each with its unit and source."""

PRETRAINING_DATA = "imagenet"  # the name of a run tells only another dataset of its pre-training
SAMPLE_RATIO = 0.1  # of that, where nothing else is asked for
LABELLED_DATA = "cifar100"  # to train and test on, where nothing else is asked for

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in [0, 1]; torchvision's weights expect them
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGENET_WEIGHTS_SIZE = 224  # px a side

IMAGE_SIZES = 8, 1024  # px a side of a network's input, least and most
STEM_STRIDES = {"3x3": 8, "7x7": 32}  # px of the input to one of the last stage
# Of the input's mean and standard deviation, pixels in [0, 1]: some networks take 0..255, whose
# deviation is 1/255 there; what is above 1 is meant for pixels in 0..255.
LEAST_STD, MOST_INPUT = 0.001, 1

WARMUP_EPOCHS = 10  # of linear warm-up, at most (Chen et al. 2020)
WARMUP_PARTS = 10  # of a run, one of which is warm-up where that is less
MOMENTUM = 0.9  # SGD and LARS
BASE_BATCH = 256  # images for which --lr is meant where it grows with the batch (Goyal et al. 2017)
LARS_TRUST = 0.001  # You et al. 2017, "trust coefficient"
MILESTONE_GAMMA = 0.2  # rate factor at each milestone (Zagoruyko & Komodakis 2016, section 3)

SPLIT_SHARES = {"val": 0.1, "test": 0.2}  # of own images, class by class; the rest is to train on

KNN_NEIGHBOURS = 20  # k
KNN_TEMPERATURE = 0.07  # of the weighted vote (Wu et al. 2018, section 3.4)
KNN_IMAGES = 6000  # at most; four fifths are neighbours, the rest queries; of RankMe, too
RANKME_EPSILON = 1e-7  # Garrido et al. 2023, Eq. 1, for float32

# Of train.py and test.py, so that their accuracies agree to the last digit: images in a batch, and
# on a GPU pixels that each process has in it if that is more. 2048 images of 32 px keep a card busy
# for longer than the launch of a network takes; the widest layer of a ResNet at full size, 64
# channels of float32, takes 0.5 GB of them.
EVAL_BATCH_SIZE = 256
EVAL_PIXELS = 2 ** 21
