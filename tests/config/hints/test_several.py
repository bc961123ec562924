from rlhf.config.hints.several import spelled


def test_a_list_is_the_option_several_and_each_in_it():
    assert spelled(["kl.coef=0", "tracking=[mlflow, tensorboard]"]) == [
        "kl.coef=0",
        "tracking=several",
        "+tracking@tracking.trackers.mlflow=mlflow",
        "+tracking@tracking.trackers.tensorboard=tensorboard",
    ]
    once = spelled(["tracking=[mlflow,team/notes]"])
    assert once[-1] == "+tracking@tracking.trackers.notes=team/notes" and spelled(once) == once


def test_one_is_itself_and_all_else_stays():
    assert spelled(["tracking=[wandb]", "tracking=[wandb,wandb]"]) == ["tracking=wandb"] * 2
    others = ["tracking=mlflow", "tracking=[]", "tracking.uri=[a,b]", "tracking=[a,{b: c}]"]
    assert spelled(others) == others
