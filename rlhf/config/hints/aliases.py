"""The words that people bring from other libraries, and the keys that they mean here.

From TRL (PPOConfig, SFTConfig, RewardConfig, ModelConfig, TrainingArguments), OpenRLHF,
verl and AlpacaFarm.
"""

from __future__ import annotations

from collections.abc import Callable

STAGES = ("sft", "reward_model", "ppo")

# The key, or a choice of a group, or a key with the choice that has it before it; `*` is each stage
# that has it. Then the words, in lower case.
TABLE = (
    # the KL penalty
    ("kl.coef", "beta kl_coef init_kl_coef kl_coeff kl_beta kl_coefficient kl_loss_coef"),
    ("kl/controller=adaptive kl.controller.target", "target_kl kl_target kl_ctl_target"),
    ("kl/controller=adaptive kl.controller.horizon", "kl_horizon horizon"),
    ("kl/controller=adaptive_alpaca_farm kl.controller.k_beta", "k_beta"),
    ("kl/controller=adaptive", "adap_kl_ctrl kl_ctrl kl_type kl_controller use_kl_ctrl"),
    ("kl/estimator=k3", "kl_estimator kl_penalty kl_loss_type use_kl_estimator_k3"),
    ("kl/placement=loss", "use_kl_loss"),
    ("kl/placement=reward", "use_kl_in_reward"),
    ("kl/reference=sft", "ref_model reference_model ref_policy"),
    ("kl/reference=synced kl.reference.every", "ref_model_sync_steps"),
    ("kl/reference=ema kl.reference.decay", "ref_model_mixup_alpha ema_beta"),
    # optimizers and schedules
    ("*.optimizer.lr", "lr learning_rate max_lr"),
    ("ppo.optimizer.lr", "actor_learning_rate actor_lr"),
    ("ppo.value_lr", "critic_learning_rate critic_lr value_learning_rate"),
    ("*.optimizer.weight_decay", "weight_decay wd l2"),
    ("*.optimizer.betas", "betas adam_betas adam_beta1 adam_beta2"),
    ("*.optimizer.eps", "eps adam_epsilon adam_eps"),
    ("optimizer@*.optimizer=adamw", "optim optimizer_name"),
    ("*.grad_clip", "max_grad_norm max_norm grad_norm clip_grad gradient_clip_val"),
    ("*.lr_warmup", "warmup_ratio warmup_steps lr_warmup_ratio lr_warmup_steps"),
    ("*.lr_schedule", "lr_scheduler_type lr_scheduler scheduler"),
    # batches, lengths, how long
    ("*.batch_size", "batch_size train_batch_size total_batch_size"),
    ("ppo.rollout_size", "batch_size rollout_batch_size train_batch_size total_batch_size"),
    (
        "ppo.responses_per_prompt",
        "num_generations num_return_sequences rloo_k group_size n_samples",
    ),
    ("ppo.responses_per_prompt", "n_samples_per_prompt rollout_n num_responses_per_prompt k"),
    ("ppo.minibatch_size", "batch_size mini_batch_size ppo_mini_batch_size step_batch_size"),
    ("*.micro_batch_size", "micro_batch_size micro_train_batch_size per_device_train_batch_size"),
    ("*.micro_batch_size", "gradient_accumulation_steps per_device_batch_size"),
    ("ppo.micro_batch_size", "ppo_micro_batch_size ppo_micro_batch_size_per_gpu"),
    ("ppo.micro_batch_size", "step_per_device_batch_size"),
    ("trainer.gradient_checkpointing", "gradient_checkpointing activation_checkpointing"),
    ("model.attention", "attn_implementation attn_impl use_flash_attn flash_attn"),
    ("*.epochs", "num_epochs num_train_epochs max_epochs epochs"),
    ("ppo.iterations", "num_epochs total_episodes num_episodes total_epochs total_training_steps"),
    ("ppo.iterations", "max_steps num_iterations iterations episodes steps"),
    ("ppo.inner_epochs", "ppo_epochs num_ppo_epochs noptepochs inner_epochs epochs"),
    ("data.max_response_tokens", "max_new_tokens response_length generate_max_len max_tokens"),
    ("generation.max_prompt_tokens", "max_prompt_length max_prompt_len prompt_max_len"),
    ("data.max_response_tokens", "max_response_length max_completion_length"),
    ("*.max_length", "max_length max_len max_seq_length max_seq_len model_max_length block_size"),
    # PPO
    ("ppo.policy_clip", "cliprange clip_range eps_clip clip_ratio clip_eps epsilon policy_clip"),
    ("ppo.value_clip", "cliprange_value clip_range_vf vf_clip cliprange_v value_clip"),
    ("ppo.value_coef", "vf_coef value_loss_coef critic_coef value_coef"),
    ("ppo.entropy_coef", "ent_coef entropy_coeff entropy_coef entropy_loss_coef"),
    ("ppo.critic_warmup", "critic_warmup num_critic_warmup_steps freezing_actor_steps"),
    ("ppo.aggregation", "loss_agg_mode loss_type aggregation"),
    ("algorithm=dpo algorithm.loss", "loss_type dpo_loss_type pref_loss preference_loss"),
    ("algorithm=dpo algorithm.label_smoothing", "label_smoothing"),
    ("advantage.gamma", "gamma"),
    ("advantage.lam", "lam lambd lambda gae_lambda"),
    ("advantage.whiten", "whiten_advantages normalize_advantages"),
    ("advantage.whiten_rewards", "whiten_rewards"),
    ("advantage=gae", "adv_estimator advantage_estimator"),
    ("scorer.reward_clip", "reward_clip reward_clip_range cliprange_reward"),
    ("scorer.missing_eos_value", "missing_eos_penalty penalty_reward_value non_eos_penalty"),
    ("scorer=function scorer.function", "reward_funcs reward_func reward_fn reward_function"),
    ("scorer=function scorer.function", "custom_reward_function reward_functions"),
    # adapters
    ("model/adapter=lora", "use_peft peft lora use_lora peft_config lora_config"),
    ("model/adapter=lora adapter.r", "lora_r lora_rank lora_dim rank r"),
    ("model/adapter=lora adapter.alpha", "lora_alpha alpha"),
    ("model/adapter=lora adapter.targets", "lora_target_modules target_modules targets"),
    ("model=hf model.dtype", "load_in_4bit bnb_4bit quantization_config qlora"),
    # sampling
    ("generation.temperature", "temperature"),
    ("generation.top_k", "top_k"),
    ("generation.top_p", "top_p"),
    # where a run starts and where it goes
    ("model=hf model.path", "model_name_or_path model_path model_name pretrain base_model"),
    ("model=hf model.path", "policy_model_name_or_path tokenizer tokenizer_name"),
    ("sft.path", "sft_model_path sft_path policy_path actor_path"),
    ("reward_model.path", "reward_model_path reward_model_name_or_path rm_path reward_pretrain"),
    ("trainer.precision", "torch_dtype dtype bf16 fp16 precision"),
    ("trainer=gpu", "device use_cuda cuda gpu accelerator"),
    ("trainer.devices", "devices gpus num_gpus n_gpus num_processes nproc_per_node world_size"),
    ("trainer.num_nodes", "num_nodes nnodes num_machines"),
    ("trainer.strategy", "strategy ddp distributed distributed_type deepspeed"),
    ("trainer.threads", "num_workers num_threads threads"),
    ("data=files data.demonstrations", "dataset dataset_name dataset_path train_file data_path"),
    ("data=files data.prompts", "prompt_data prompt_file"),
    ("reward_model.centering", "center_rewards_coefficient"),
    ("sft.train_on_prompt", "train_on_prompt train_on_inputs"),
    ("seed", "random_seed manual_seed data_seed global_seed"),
    ("paths.outputs", "output_dir save_path save_dir logdir log_dir default_root_dir"),
    ("study", "run_name exp_name experiment_name name project project_name wandb_project"),
    ("tracking=mlflow", "report_to logger loggers log_with mlflow"),
    ("tracking=wandb", "report_to logger loggers log_with use_wandb wandb"),
    ("tracking=tensorboard", "report_to logger loggers log_with use_tensorboard tensorboard"),
    ("tracking=trackio", "report_to logger loggers log_with trackio"),
    ("tracking=wandb tracking.entity", "wandb_entity wandb_team wandb_org"),
    ("tracking=wandb tracking.mode", "wandb_mode"),
    ("tracking=tensorboard tracking.logdir", "tensorboard_dir tensorboard_log logging_dir"),
    ("tracking.uri", "tracking_uri mlflow_tracking_uri"),
    ("*.checkpoint_every", "save_steps save_freq save_every save_interval checkpointing_steps"),
    ("evaluation.every", "eval_steps eval_freq test_freq eval_every eval_interval"),
    ("hydra.launcher.jobs", "n_jobs num_jobs jobs workers"),
)


def written(target: str, exists: Callable[[str], bool]) -> list[str]:
    """How to write a target of the table: `sft.optimizer.lr`, or with the choice that has the key
    `kl.controller.target with kl/controller=adaptive`."""
    choice, _, key = target.rpartition(" ")
    if "*" in key:
        keys = [key.replace("*", stage) for stage in STAGES]
        return [each for each in keys if "=" in each or exists(each)]
    return [f"{key} with {choice}" if choice and not exists(key) else key]


def meanings(word: str, exists: Callable[[str], bool]) -> list[str]:
    """What a word of another library is called here; of its own stage alone where it names one
    (`ppo.lr`). Empty for a word that is not known.

    Args:
        exists: whether the config at hand has a key.
    """
    parent, _, last = word.lower().rpartition(".")
    name = last.replace("-", "_")
    keys = [
        key for target, words in TABLE if name in words.split() for key in written(target, exists)
    ]
    stage = parent.partition(".")[0]
    return [key for key in keys if stage in STAGES and key.startswith(f"{stage}.")] or keys


def in_words(word: str, exists: Callable[[str], bool]) -> str:
    """`; here it is kl.coef`, or nothing for a word that is not known."""
    keys = [key for key in dict.fromkeys(meanings(word, exists)) if key != word]
    if not keys:
        return ""
    *most, last = keys
    if keys[0].startswith(f"{word} with "):
        return f"; it is there {keys[0].removeprefix(word).strip()}"
    return f"; here it is {', '.join(most)} or {last}" if most else f"; here it is {last}"
